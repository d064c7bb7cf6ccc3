import type { TopState } from '../../lib/cli/top/render.js';
import type { Items } from '../../lib/cli/top/rows.js';
import { itemsAt } from '../../lib/cli/top/run.js';
import { initialUi } from '../../lib/cli/top/ui.js';
import { FleetMirror } from '../../lib/client/mirror.js';
import type { FleetEvent, HiveView, WorkerView } from '../../lib/contract/api.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { storedGpu, storedWorker } from '../../lib/contract/stored.js';
import { SimulatedHive, type SimulatedHiveOptions } from '../harness/simulated-fleet.js';

/** What a queen makes of a heartbeat, without a queen. */
export function viewsOf(
  heartbeat: Heartbeat,
  liveness: HiveView['liveness'] = 'online',
  ageMs = 400,
): { hive: HiveView; workers: WorkerView[] } {
  const provenance = { hive: heartbeat.hive.id, liveness, ageMs };
  const { host, gpusKnown, gpusReason, gpus, workersComplete, faults, collection, intervalMs } = heartbeat;
  return {
    hive: {
      ...heartbeat.hive,
      ...provenance,
      intervalMs,
      host,
      gpusKnown,
      gpusReason,
      gpus: gpus.map(storedGpu),
      workersComplete,
      faults,
      collection,
      workerCount: heartbeat.workers.length,
    },
    workers: heartbeat.workers.map((worker) => ({
      ...storedWorker(worker),
      ...provenance,
      key: `${heartbeat.hive.id}/${worker.id}`,
    })),
  };
}

/** A simulated hive some seconds after its start, so that rates and states are there. */
export function settledHeartbeat(options: SimulatedHiveOptions, spoil?: (hive: SimulatedHive) => void): Heartbeat {
  let nowMs = Date.parse('2026-01-05T10:00:00Z');
  const hive = new SimulatedHive({ ...options, now: () => nowMs });
  for (let i = 0; i < 8; i++) {
    nowMs += 1000;
    hive.nextHeartbeat();
  }
  spoil?.(hive);
  nowMs += 1000;
  const heartbeat = hive.nextHeartbeat();
  void hive.close();
  return heartbeat;
}

export interface SampleFleet {
  readonly mirror: FleetMirror;
  readonly items: Items;
}

/** Three hives: sound, with a stalled and a lost GPU, and offline without GPUs; and some events. */
export function sampleFleet(): SampleFleet {
  const heartbeats = [
    {
      heartbeat: settledHeartbeat({ id: 'alpha', seed: 1, workers: 6, gpus: 8, labels: { zone: 'a', rack: '12' } }),
      liveness: 'online',
    },
    {
      heartbeat: settledHeartbeat({ id: 'beta', seed: 2, workers: 4, gpus: 4 }, (hive) => {
        hive.stallGpu(0);
        hive.loseGpu(2);
      }),
      liveness: 'late',
    },
    { heartbeat: settledHeartbeat({ id: 'gamma', seed: 3, workers: 2, gpus: [] }), liveness: 'offline' },
  ] as const;
  const mirror = new FleetMirror();
  const views = heartbeats.map(({ heartbeat, liveness }) =>
    viewsOf(heartbeat, liveness, liveness === 'online' ? 400 : liveness === 'late' ? 4200 : 21_000),
  );
  const data = {
    hives: views.map(({ hive }) => hive),
    workers: views.flatMap(({ workers }) => workers),
    warming: false,
    lastEventId: '',
  };
  mirror.apply({ type: 'snapshot', data }, 0);
  const event = (id: number, kind: string, hive: string, rest: Partial<FleetEvent> = {}): FleetEvent => ({
    id: `e-${id}`,
    at: `2026-01-05T10:00:${String(id).padStart(2, '0')}.000Z`,
    kind,
    hive,
    detail: {},
    ...rest,
  });
  const first = views[0]?.workers[0] as WorkerView;
  for (const item of [
    event(1, 'hiveJoined', 'alpha'),
    event(2, 'workerStarted', 'alpha', { workerId: first.id, detail: { pid: 4711 } }),
    event(3, 'workerStateChanged', 'alpha', { workerId: first.id, detail: { from: 'idle', to: 'busy' } }),
    event(4, 'hiveLate', 'beta'),
    event(5, 'gpuLost', 'beta', { gpuUuid: 'GPU-1a2b3c4d-0000-0000-0000-000000000000' }),
    event(6, 'hiveOffline', 'gamma'),
  ]) {
    mirror.addEvent(item);
  }
  return { mirror, items: itemsAt(mirror, 0) };
}

export function topState(items: Items, changes: Partial<TopState> = {}): TopState {
  return {
    ui: initialUi,
    items,
    source: 'http://127.0.0.1:7833',
    connection: { kind: 'live' },
    warming: false,
    history: null,
    past: null,
    attention: [],
    missing: null,
    nowMs: 0,
    clock: '10:00:09',
    colours: false,
    ...changes,
  };
}
