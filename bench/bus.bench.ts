import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { heartbeatSubject } from '../lib/bus/subjects.js';
import type { Fleet } from '../lib/contract/api.js';
import { startQueen } from '../lib/queen/queen.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { NatsServer } from '../test/nats/nats-server.js';
import { type BenchContext, type BenchRun, type Metric, metric } from './metric.js';

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const hives = 200;
const workers = 8;
const seconds = 5;

/** Frames made before the clock runs: what is measured is not the simulation. */
function frames(count: number, turns: number): readonly (readonly [hive: string, bytes: Buffer])[][] {
  const fleet = Array.from(
    { length: count },
    (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers, gpus: 8 }),
  );
  return Array.from({ length: turns }, () =>
    fleet.map((hive) => [hive.id, Buffer.from(JSON.stringify(hive.frame()))] as const),
  );
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
  const turns = frames(100, 10);
  const pauseMs = 1000 / 200;
  for (const turn of turns)
    for (const [hive, bytes] of turn) {
      sentAt.set(hive, performance.now());
      nats.publish(heartbeatSubject(hive), bytes);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  await until(async () => spent.length >= 990, 'the heartbeats to be merged');
  spent.sort((a, b) => a - b);
  return [
    metric('publish to registry, 200 beats/s, p50', percentile(spent, 0.5), 'ms'),
    metric('publish to registry, 200 beats/s, p99', percentile(spent, 0.99), 'ms'),
  ];
}

/** CPU of a queen per 1,000 heartbeats, by how it hears them. */
async function cost(context: BenchContext, server: NatsServer, nats: NatsConnection): Promise<Metric[]> {
  let turns = frames(hives, 2 + seconds);
  const single = await queenProcess(context, []);
  const hearing = await queenProcess(context, ['--nats', server.url]);
  const passing = await queenProcess(context, ['--nats', server.url]);
  for (const { url } of [hearing, passing]) await until(async () => (await fleetOf(url)).bus === 'nats', 'sharing');

  const overHttp = async (url: string, turn: (typeof turns)[number]) => {
    for (let i = 0; i < turn.length; i += 20)
      await Promise.all(
        turn.slice(i, i + 20).map(([, body]) =>
          fetch(`${url}/v1/heartbeats`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: new Uint8Array(body),
          }).then((reply) => reply.arrayBuffer()),
        ),
      );
  };
  const measure = async (pids: readonly number[], send: (turn: (typeof turns)[number]) => Promise<void>) => {
    for (const turn of turns.slice(0, 2)) await send(turn);
    const before = pids.map(cpuMs);
    for (const turn of turns.slice(2)) await send(turn);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return pids.map((pid, i) => (cpuMs(pid) - (before[i] as number)) / ((hives * seconds) / 1000));
  };

  const [alone = Number.NaN] = await measure([single.pid], (turn) => overHttp(single.url, turn));
  const shared = await measure([passing.pid, hearing.pid], (turn) => overHttp(passing.url, turn));
  // A second run of each hive: the same numbers again would be stale.
  const again = frames(hives, 2 + seconds).map((turn) =>
    turn.map(
      ([hive, bytes]) =>
        [`n${hive}`, Buffer.from(bytes.toString().replace(`"id":"${hive}"`, `"id":"n${hive}"`))] as const,
    ),
  );
  turns = again;
  const [direct = Number.NaN] = await measure([hearing.pid], async (turn) => {
    for (const [hive, bytes] of turn) nats.publish(heartbeatSubject(hive), bytes);
    await nats.flush();
    await new Promise((resolve) => setTimeout(resolve, 1000));
  });
  const [passed = Number.NaN, heard = Number.NaN] = shared;
  context.log(`${hives} hives of ${workers} workers, ${turns[0]?.[0]?.[1].length ?? 0} bytes a heartbeat`);
  return [
    metric('queen CPU per 1,000 heartbeats, one queen, HTTP', alone, 'ms'),
    metric('queen CPU per 1,000 heartbeats, HTTP, passed on to NATS', passed, 'ms'),
    metric('queen CPU per 1,000 heartbeats, heard by NATS while another takes HTTP', heard, 'ms'),
    metric('queen CPU per 1,000 heartbeats, hives on NATS', direct, 'ms'),
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
  for (const hive of fleet) nats.publish(heartbeatSubject(hive.id), JSON.stringify(hive.frame()));
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
    metrics.push(metric(`reservations through two queens, ${strategy}, 32 at a time`, granted / took, '/s'));
  }
  return metrics;
}

/** What sharing a fleet over NATS costs. Needs nats-server and the build. */
export const run: BenchRun = async (context) => {
  const server = await NatsServer.start();
  context.defer(() => server.close());
  const nats = await connect({ servers: server.url.replace('nats://', '') });
  context.defer(() => nats.close());
  if (process.env.ONLYRES) return await reservations(context, server, nats);
  context.log('latency');
  const metrics = await latency(context, server, nats);
  context.log('cost');
  metrics.push(...(await cost(context, server, nats)));
  context.log('reservations');
  metrics.push(...(await reservations(context, server, nats)));
  return metrics;
};
