import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Fleet } from '../lib/contract/api.js';
import { startQueen } from '../lib/daemon/queen.js';
import { heartbeatSubject } from '../lib/nats/subjects.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { NatsServer } from '../test/suites/nats/nats-server.js';
import { Child } from './children.js';
import { type BenchContext, type BenchRun, type Metric, median, metric } from './metric.js';
import type { LoadResult } from './processes/load.js';

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const hives = 200;
const workers = 8;
const rounds = 5;
/** Not counted: the compiler has to see the code first. */
const roundsBefore = 3;
const heartbeatsInRound = 8;
/** Between two beats of all: more than a queen needs for one. */
const pauseMs = 250;

type EncodedHeartbeat = readonly [hive: string, bytes: Buffer];

/** Beats of a fleet, one of each hive at a time; made before the clock runs, since what is measured is not the simulation. */
function heartbeats(
  count: number,
  batches: number,
  turnsInBatch: number,
): Iterator<readonly EncodedHeartbeat[], undefined> {
  const fleet = Array.from(
    { length: count },
    (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers, gpus: 8 }),
  );
  const turns = Array.from({ length: batches * turnsInBatch }, () =>
    fleet.map((hive): EncodedHeartbeat => [hive.id, Buffer.from(JSON.stringify(hive.nextHeartbeat()))]),
  );
  return turns.values();
}

const percentile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** CPU of a process so far, ms. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Ticks of 10 ms: _SC_CLK_TCK is 100 wherever Node.js runs.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function queenProcess({ defer }: BenchContext, args: readonly string[]): Promise<{ url: string; pid: number }> {
  const child: ChildProcess = spawn(process.execPath, [main, 'queen', '--port', '0', '--warming', '0', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  defer(() => void child.kill('SIGKILL'));
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the queen ended with ${code}: ${text}`)));
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const match = /"url":"([^"]+)"/.exec(text);
      if (match) resolve(match[1] as string);
    });
  });
  return { url, pid: child.pid as number };
}

/** Heartbeats that a queen has taken, by HTTP and by NATS. */
async function takenBy(url: string): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
  const value = (name: string) => Number(lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1] ?? 0);
  return (
    value('hivepulse_queen_heartbeats_accepted_total') + value('hivepulse_queen_bus_heartbeats_total{result="heard"}')
  );
}

async function until(done: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`waited 30 s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const fleetOf = async (url: string): Promise<Fleet> => (await (await fetch(`${url}/v1/fleet`)).json()) as Fleet;

/** Published here, merged by a queen in this process: the whole way but the sender's HTTP. */
async function latency(context: BenchContext, server: NatsServer, nats: NatsConnection): Promise<Metric[]> {
  const queen = await startQueen({ port: 0, warmingMs: 0, nats: { servers: [server.url] } });
  context.defer(() => queen.close());
  await until(async () => (await fleetOf(queen.url)).bus === 'nats', 'the queen to share');
  const sentAt = new Map<string, number>();
  const spent: number[] = [];
  queen.registry.subscribe((change) => {
    if (change.type !== 'heartbeat') return;
    const at = sentAt.get(change.hiveId);
    if (at !== undefined && sentAt.delete(change.hiveId)) spent.push(performance.now() - at);
  });
  const made = heartbeats(100, 10, 1);
  const everyMs = 1000 / 200;
  for (const turn of Array.from({ length: 10 }, () => made.next().value ?? []))
    for (const [hive, bytes] of turn) {
      sentAt.set(hive, performance.now());
      nats.publish(heartbeatSubject(hive), bytes);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  await until(async () => spent.length >= 990, 'the heartbeats to be merged');
  spent.sort((a, b) => a - b);
  return [
    metric('bus publish to registry, 200 beats/s, p50', percentile(spent, 0.5), 'ms'),
    metric('bus publish to registry, 200 beats/s, p99', percentile(spent, 0.99), 'ms'),
  ];
}

interface Measured {
  readonly url: string;
  readonly pid: number;
}

/** CPU per 1,000 heartbeats of queens and of the server, by how the queens hear them. */
async function cost(context: BenchContext, server: NatsServer, nats: NatsConnection): Promise<Metric[]> {
  const single = await queenProcess(context, []);
  const hearing = await queenProcess(context, ['--nats', server.url]);
  const passing = await queenProcess(context, ['--nats', server.url]);
  for (const { url } of [hearing, passing]) await until(async () => (await fleetOf(url)).bus === 'nats', 'sharing');
  const loadOf = async ({ url }: Measured) => {
    const load = await Child.start(context, 'load', [new URL(url).port, hives, workers, 'plain']);
    return () => load.ask<LoadResult>({ heartbeats: 1 });
  };
  const overHttp = { single: await loadOf(single), passing: await loadOf(passing) };
  const made = heartbeats(hives, roundsBefore + rounds, heartbeatsInRound);
  const overNats = async () => {
    for (const [hive, bytes] of made.next().value ?? []) nats.publish(heartbeatSubject(hive), bytes);
    await nats.flush();
  };

  /** A round: ms of CPU of each queen over what it took, and of the server over what was sent. */
  const round = async (queens: readonly Measured[], send: () => Promise<unknown>) => {
    const taken = () => Promise.all(queens.map(({ url }) => takenBy(url)));
    const pids = [...queens.map(({ pid }) => pid), server.pid];
    // A scrape is work as well, and stays outside.
    const takenBefore = await taken();
    const before = pids.map(cpuMs);
    for (let i = 0; i < heartbeatsInRound; i++) {
      await send();
      // What is heard by NATS has no answer to wait for.
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    const spent = pids.map((pid, i) => cpuMs(pid) - (before[i] as number));
    const sent = hives * heartbeatsInRound;
    // One that has to share its core may have left some out.
    const counts = [...(await taken()).map((count, i) => count - (takenBefore[i] as number)), sent];
    return spent.map((ms, i) => (1000 * ms) / (counts[i] as number));
  };
  const of = { alone: [] as number[], shared: [] as number[][], direct: [] as number[][] };
  for (let i = 0; i < roundsBefore + rounds; i++) {
    const [alone = Number.NaN] = await round([single], overHttp.single);
    const shared = await round([passing, hearing], overHttp.passing);
    const direct = await round([hearing], overNats);
    if (i < roundsBefore) continue;
    of.alone.push(alone);
    of.shared.push(shared);
    of.direct.push(direct);
  }
  const at = (rows: readonly number[][], column: number) => median(rows.map((row) => row[column] ?? Number.NaN));
  return [
    metric('bus queen CPU per 1,000 heartbeats, one queen, HTTP', median(of.alone), 'ms'),
    metric('bus queen CPU per 1,000 heartbeats, HTTP, passed on to NATS', at(of.shared, 0), 'ms'),
    metric('bus queen CPU per 1,000 heartbeats, heard by NATS while another takes HTTP', at(of.shared, 1), 'ms'),
    metric('bus queen CPU per 1,000 heartbeats, hives on NATS', at(of.direct, 0), 'ms'),
    metric('bus nats-server CPU per 1,000 heartbeats, one publisher, two queens', at(of.shared, 2), 'ms'),
  ];
}

/** Grants per second through two queens that compete. */
async function reservations(context: BenchContext, server: NatsServer, nats: NatsConnection): Promise<Metric[]> {
  const queens = [
    await queenProcess(context, ['--nats', server.url]),
    await queenProcess(context, ['--nats', server.url]),
  ];
  for (const { url } of queens) await until(async () => (await fleetOf(url)).bus === 'nats', 'sharing');
  const fleet = Array.from(
    { length: 40 },
    (_, i) => new SimulatedHive({ id: `r${i}`, seed: i + 1, workers: 1, gpus: 8, intervalMs: 60_000 }),
  );
  for (const hive of fleet) nats.publish(heartbeatSubject(hive.id), JSON.stringify(hive.nextHeartbeat()));
  for (const { url } of queens) await until(async () => (await fleetOf(url)).hives.online >= 40, 'the hives');
  const place = async (i: number, strategy: string) => {
    const reply = await fetch(`${queens[i % 2]?.url}/v1/placements`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ vramBytes: 2 ** 30, reserveSeconds: 60, strategy }),
    });
    const body = (await reply.json()) as { reservation?: unknown };
    return reply.ok && body.reservation ? 1 : 0;
  };
  const metrics: Metric[] = [];
  for (const strategy of ['spread', 'binPack']) {
    const count = 1000;
    let next = 0;
    let granted = 0;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        for (let i = next++; i < count; i = next++) {
          // Not `granted += await ...`: that would read the sum before the wait.
          const room = await place(i, strategy);
          granted += room;
        }
      }),
    );
    const took = (performance.now() - began) / 1000;
    context.log(`${strategy}: ${granted} of ${count} granted`);
    metrics.push(metric(`bus reservations through two queens, ${strategy}, 32 at a time`, granted / took, '/s'));
  }
  return metrics;
}

export const rows = ['bus'] as const;

/** What sharing a fleet over NATS costs. Needs nats-server and the build. */
export const run: BenchRun = async (context) => {
  const server = await NatsServer.start();
  context.defer(() => server.close());
  const nats = await connect({ servers: server.url.replace('nats://', '') });
  context.defer(() => nats.close());
  context.log('latency');
  const metrics = await latency(context, server, nats);
  context.log('cost');
  metrics.push(...(await cost(context, server, nats)));
  context.log('reservations');
  metrics.push(...(await reservations(context, server, nats)));
  return metrics;
};
