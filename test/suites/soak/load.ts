/**
 * The hosts of a soak, as a process of its own: hives that send heartbeats, workers that come and go. Marks every event that it
 * produces, so that each can be looked for at the other end. Started by main.ts, told what to do over the IPC channel.
 */
import { Agent } from 'undici';
import { Random } from '../../harness/random.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import type { Command, Counts, Fact, Report } from './protocol.js';

const [queenUrl, hiveCount, workers, intervalMs, seed] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const random = new Random(Number(seed));
const agent = new Agent({ connections: 32, pipelining: 1 });
const maxLatencies = 50_000;

/** A hive whose events are marked and followed until they are acknowledged. */
class MarkedHive extends SimulatedHive {
  readonly facts: Fact[] = [];
  died = 0;
  #marks = 0;
  /** Facts of this run, by the number that its event has: the first is 1. */
  #run: Fact[] = [];

  constructor(id: string, hiveSeed: number) {
    super({
      id,
      seed: hiveSeed,
      workers: Number(workers),
      gpus: 4,
      intervalMs: Number(intervalMs),
      queenUrls: [queenUrl],
      agent,
    });
    const { host } = this;
    const take = host.takeEvents.bind(host);
    host.takeEvents = () =>
      take().map((event) => {
        const fact: Fact = { mark: `${id}#${++this.#marks}`, producedAt: Date.now(), ackedAt: null };
        this.#run.push(fact);
        this.facts.push(fact);
        return { ...event, detail: { ...event.detail, mark: fact.mark, producedAt: fact.producedAt } };
      });
  }

  override acknowledge(ackEventSeq: number): void {
    const now = Date.now();
    for (let i = Math.min(ackEventSeq, this.#run.length) - 1; i >= 0; i--) {
      const fact = this.#run[i]!;
      if (fact.ackedAt !== null) break;
      fact.ackedAt = now;
    }
    super.acknowledge(ackEventSeq);
  }

  /** As after kill -9: what no queen had is gone with the process. */
  override restart(): void {
    this.#forget();
    super.restart();
  }

  /** A host that leaves for good. */
  async leave(): Promise<void> {
    await this.stop();
    this.#forget();
  }

  #forget(): void {
    const lost = this.#run.filter(({ ackedAt }) => ackedAt === null);
    this.died += lost.length;
    for (const fact of lost) this.facts.splice(this.facts.indexOf(fact), 1);
    this.#run = [];
  }
}

let made = 0;
const left: MarkedHive[] = [];
const make = (): MarkedHive => {
  made += 1;
  return new MarkedHive(`soak-${String(made).padStart(4, '0')}`, Number(seed) * 7919 + made);
};
const hives = Array.from({ length: Number(hiveCount) }, make);
const latencies: number[] = [];
let seen = 0;
for (const hive of hives) follow(hive);

/** Keeps how long each accepted heartbeat took. */
function follow(hive: MarkedHive): void {
  const heartbeat = hive.sendHeartbeat.bind(hive);
  hive.sendHeartbeat = async () => {
    const started = performance.now();
    const reply = await heartbeat();
    if (reply !== null) {
      const took = performance.now() - started;
      seen += 1;
      if (latencies.length < maxLatencies) latencies.push(took);
      else if (random.next() < maxLatencies / seen) latencies[random.whole(0, maxLatencies - 1)] = took;
    }
    return reply;
  };
  hive.start();
}

const some = (count: number): MarkedHive[] => Array.from({ length: count }, () => random.pick(hives));
let churn: NodeJS.Timeout | null = setInterval(() => {
  const hive = random.pick(hives);
  hive.killWorker(
    hive.workerIds.length > 0 ? random.pick(hive.workerIds) : undefined,
    random.pick(['exit', 'signal', 'oom'] as const),
  );
  hive.addWorker();
}, 200);

function counts(): Counts {
  const all = [...hives, ...left];
  const sum = (of: (hive: MarkedHive) => number) => all.reduce((total, hive) => total + of(hive), 0);
  return {
    hives: hives.length,
    workers: hives.reduce((total, hive) => total + hive.workerIds.length, 0),
    sent: sum(({ counts: { sent } }) => sent),
    accepted: sum(({ counts: { accepted } }) => accepted),
    failed: sum(({ counts: { failed } }) => failed),
    pending: hives.reduce((total, { pendingEvents }) => total + pendingEvents, 0),
    died: sum(({ died }) => died),
    latencies,
    facts: all.flatMap(({ facts }) => facts),
  };
}

const tell = (report: Report): void => void process.send?.(report);
process.on('message', (command: Command) => {
  switch (command.type) {
    case 'mute':
      for (const hive of some(command.count)) {
        hive.mute();
        setTimeout(() => hive.mute(false), command.forMs);
      }
      break;
    case 'restart':
      for (const hive of some(command.count)) hive.restart();
      break;
    case 'replace': {
      const at = random.whole(0, hives.length - 1);
      const [old] = hives.splice(at, 1) as [MarkedHive];
      left.push(old);
      void old.leave();
      const fresh = make();
      hives.push(fresh);
      follow(fresh);
      break;
    }
    case 'gpu':
      for (const hive of some(command.count)) {
        if (command.health === 'lost') hive.loseGpu(0);
        else hive.stallGpu(0);
        setTimeout(() => hive.recoverGpu(0), command.forMs);
      }
      break;
    case 'silence':
      // No more facts; heartbeats go on, so that what is pending is sent.
      if (churn) clearInterval(churn);
      churn = null;
      break;
    case 'report':
      tell({ type: 'counts', ...counts() });
      break;
    case 'end':
      void Promise.all(hives.map((hive) => hive.stop())).then(() => process.exit(0));
  }
});
process.on('disconnect', () => process.exit(0));
tell({ type: 'ready' });
