/**
 * The fleet that one shows to others: 12 hives, 40 GPUs and about 60 workers on a real queen, with what goes wrong in real
 * fleets: a GPU whose driver hangs, one that fell off the bus, one with ECC errors, a host that is late, one that is cut
 * off now and then, workers killed for memory. All of it seeded, with an hour of history behind it.
 */
import type { QueenOptions } from '../../lib/config/options.js';
import { type Queen, startQueen } from '../../lib/daemon/queen.js';
import { SimulatedFleet, SimulatedHive } from './simulated-fleet.js';
import type { GpuKind } from './simulated-host.js';

interface HiveSpec {
  readonly id: string;
  readonly gpus: readonly GpuKind[];
  readonly workers: number;
  readonly zone: string;
}

const of = (count: number, kind: GpuKind): GpuKind[] => Array<GpuKind>(count).fill(kind);

export const demoHives: readonly HiveSpec[] = [
  { id: 'atlas-01', gpus: of(8, 'h100'), workers: 9, zone: 'a' },
  { id: 'atlas-02', gpus: of(8, 'h200'), workers: 8, zone: 'b' },
  { id: 'boreas-01', gpus: of(4, 'a100'), workers: 6, zone: 'a' },
  { id: 'boreas-02', gpus: of(4, 'a100'), workers: 6, zone: 'b' },
  { id: 'ceres-01', gpus: of(4, 'l40s'), workers: 6, zone: 'a' },
  { id: 'ceres-02', gpus: of(4, 'l40s'), workers: 6, zone: 'b' },
  { id: 'juno-01', gpus: of(2, 'l4'), workers: 4, zone: 'a' },
  { id: 'lyra-01', gpus: of(2, 'rtx4090'), workers: 4, zone: 'a' },
  { id: 'lyra-02', gpus: of(2, 'rtx4090'), workers: 4, zone: 'b' },
  { id: 'spark-01', gpus: of(1, 'gb10'), workers: 2, zone: 'a' },
  { id: 'spark-02', gpus: of(1, 'gb10'), workers: 2, zone: 'b' },
  { id: 'juno-cpu', gpus: [], workers: 3, zone: 'a' },
];

export interface DemoOptions {
  readonly port?: number;
  /** History put behind the fleet before it starts, ms. Default: an hour. */
  readonly historyMs?: number;
  /** From now on: hosts that fall silent and come back, OOM kills, workers that come and go. Default true. */
  readonly events?: boolean;
  readonly queen?: QueenOptions;
}

export interface Demo extends AsyncDisposable {
  readonly url: string;
  readonly queen: Queen;
  readonly fleet: SimulatedFleet;
  close(): Promise<void>;
}

const historyStepMs = 10_000;

export async function startDemo(options: DemoOptions = {}): Promise<Demo> {
  const { historyMs = 3_600_000, events = true } = options;
  // While history is made, the clocks are moved by hand; then they go on from where they stand.
  let moved = 0;
  let resumed: number | null = null;
  const startedWall = Date.now();
  const clock = () => (resumed === null ? moved : historyMs + performance.now() - resumed);
  const wallClock = () => (resumed === null ? startedWall - historyMs + moved : Date.now());

  const queen = await startQueen(
    { port: options.port ?? 0, warmingMs: 0, ...options.queen },
    { registry: { clock, wallClock } },
  );
  const fleet = new SimulatedFleet(
    (agent) =>
      demoHives.map(
        ({ id, gpus, workers, zone }, index) =>
          new SimulatedHive({
            id,
            gpus,
            workers,
            seed: 40 + index,
            labels: { zone, pool: gpus[0] ?? 'cpu' },
            queenUrls: [queen.url],
            agent,
            now: wallClock,
            asksEngines: true,
            ...(id === 'spark-02' ? { state: 'draining' as const } : {}),
            ...(options.queen?.tokens
              ? { token: options.queen.tokens.find(({ role }) => role === 'hive')?.token ?? '' }
              : {}),
          }),
      ),
    { seed: 7, churnPerMinute: events ? 4 : 0, connections: 12 },
  );

  // An hour in a moment: heartbeats go into the registry itself, one every ten seconds.
  for (moved = 0; moved < historyMs; moved += historyStepMs) {
    const left = historyMs - moved;
    if (left <= 240_000 && left > 240_000 - historyStepMs) goWrong(fleet);
    if (moved % 300_000 === 150_000) {
      const hive = fleet.hives[((moved / 300_000) % fleet.hives.length) | 0]!;
      hive.killWorker(hive.workerIds.at(-1), moved % 900_000 === 150_000 ? 'oom' : 'exit');
      hive.addWorker();
    }
    for (const hive of fleet.hives) {
      hive.host.advance(historyStepMs / 1000 - 1);
      const outcome = queen.registry.heartbeat(hive.nextHeartbeat());
      if (!outcome.accepted) throw new Error(`${hive.id}: ${outcome.message}`);
      hive.acknowledge(outcome.ackEventSeq);
    }
    queen.registry.advance();
    queen.registry.sampleFleet();
  }
  resumed = performance.now();
  if (historyMs === 0) goWrong(fleet);
  fleet.start();
  const timers = events ? happenings(fleet) : [];

  let closing: Promise<void> | null = null;
  const close = () => {
    closing ??= (async () => {
      for (const timer of timers) clearInterval(timer);
      await fleet.close();
      await queen.close();
    })();
    return closing;
  };
  return { url: queen.url, queen, fleet, close, [Symbol.asyncDispose]: close };
}

function goWrong(fleet: SimulatedFleet): void {
  fleet.hive('boreas-01').stallGpu(1);
  fleet.hive('ceres-01').loseGpu(2);
  fleet.hive('atlas-02').host.setGpuHealth(5, 'degraded');
}

/** What goes on happening, often enough to wait for. */
function happenings(fleet: SimulatedFleet): NodeJS.Timeout[] {
  const cutOff = (id: string, everyMs: number, forMs: number) =>
    setInterval(() => {
      fleet.hive(id).mute();
      setTimeout(() => fleet.hive(id).mute(false), forMs).unref();
    }, everyMs);
  const thirsty = fleet.hive('ceres-02');
  return [
    cutOff('lyra-02', 40_000, 8000),
    cutOff('juno-01', 120_000, 35_000),
    setInterval(() => {
      const id = thirsty.workerIds[0];
      if (id !== undefined) thirsty.host.oomKill(id);
    }, 75_000),
  ];
}
