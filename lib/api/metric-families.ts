import type { BusCounts } from '../cluster/bus.js';
import { type Fleet, type HiveView, livenesses, type WorkerView } from '../contract/api.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { hostFields } from '../contract/fields/host.js';
import { workerFields } from '../contract/fields/worker.js';
import { type GpuSample, gpuHealths, workerStates } from '../contract/heartbeat.js';
import {
  each,
  type Family,
  flag,
  knownLabels,
  type LabelValues,
  seconds,
  single,
  stateSet,
} from '../metrics/exposition.js';
import { familiesOf } from '../metrics/field-families.js';
import { type Energy, joulesOf, joulesPerToken } from '../queen/energy.js';
import type { HeartbeatCounts } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';

type Labelled<T> = { readonly item: T; readonly labels: LabelValues };

/** What one scrape of a queen sees. */
export interface FleetScrape {
  readonly fleet: Fleet;
  readonly missing: readonly { readonly kind: string; readonly reason: string; readonly count: number }[];
  readonly hives: readonly Labelled<HiveView>[];
  /** Of hives that are not offline: what an offline hive said last is not what is now. */
  readonly heard: readonly Labelled<HiveView>[];
  readonly hosts: readonly Labelled<HiveView['host']>[];
  readonly gpus: readonly Labelled<GpuSample>[];
  readonly workers: readonly Labelled<WorkerView>[];
  /** Of the workers that have series. */
  readonly energies: readonly Labelled<Energy>[];
  /** Of all workers, by model. */
  readonly energiesOfModels: ReadonlyMap<string, readonly Energy[]>;
  /** Workers beyond the cap. */
  readonly leftOut: number;
  readonly gpusLeftOut: number;
  readonly reservations: ReturnType<Registry['reservations']>;
  readonly eventsKept: number;
  readonly eventCounts: ReadonlyMap<string, number>;
  readonly streams: number;
  /** Closed because their readers did not keep up. */
  readonly streamsParted: number;
  readonly heartbeats: HeartbeatCounts;
  readonly version: string;
  /** Null where there is one queen. */
  readonly shared: BusCounts | null;
}

export interface FleetSource {
  readonly registry: Registry;
  /** Workers that have series of their own, at most. */
  readonly maxWorkers: number;
  /** GPUs that have, at most; beyond them as many that are not healthy. */
  readonly maxGpus: number;
  readonly streams: number;
  /** Closed because their readers did not keep up. */
  readonly streamsParted: number;
  readonly heartbeats: HeartbeatCounts;
  readonly version: string;
  readonly bus: Fleet['bus'];
  readonly shared: BusCounts | null;
}

/** Models with series of their own, and codes of faults of one hive: who makes names up does not fill whoever scrapes. */
const maxModels = 1000;
const maxCodes = 32;
/** What stands for the codes beyond. */
const otherCode = 'OTHER';

/** A hive each step: of one that comes or goes in between, a scrape sees all or nothing. */
export function* scrapeSteps({ registry, maxWorkers, maxGpus, ...rest }: FleetSource): Generator<void, FleetScrape> {
  const hives: Labelled<HiveView>[] = [];
  const gpus: Labelled<GpuSample>[] = [];
  const workers: Labelled<WorkerView>[] = [];
  const energies: Labelled<Energy>[] = [];
  const energiesOfModels = new Map<string, Energy[]>();
  let [leftOut, gpusLeftOut] = [0, 0];
  for (const id of registry.hiveIds()) {
    yield;
    const left = {
      gpus: maxGpus - gpus.length,
      illGpus: 2 * maxGpus - gpus.length,
      workers: maxWorkers - workers.length,
    };
    const read = registry.scrape(id, left);
    if (read === null) continue;
    hives.push({ item: read.hive, labels: { hive: id } });
    for (const gpu of read.gpus) gpus.push({ item: gpu, labels: { hive: id, gpu: gpu.uuid } });
    gpusLeftOut += read.gpusLeftOut;
    leftOut += read.workersLeftOut;
    const shown = new Map<string, LabelValues>();
    for (const worker of read.workers) {
      const labels = { hive: id, worker: worker.id };
      shown.set(worker.id, labels);
      workers.push({ item: worker, labels });
    }
    for (const [worker, energy] of read.energies) {
      const labels = shown.get(worker);
      if (labels) energies.push({ item: energy, labels });
      if (energy.model === null) continue;
      const ofModel = energiesOfModels.get(energy.model);
      if (ofModel) ofModel.push(energy);
      else if (energiesOfModels.size < maxModels) energiesOfModels.set(energy.model, [energy]);
    }
  }
  const heard = hives.filter(({ item }) => item.liveness !== 'offline');
  return {
    ...rest,
    fleet: registry.fleet(rest.bus),
    missing: [...registry.missing.countsByReason()],
    hives,
    heard,
    hosts: heard.map(({ item, labels }) => ({ item: item.host, labels })),
    gpus,
    workers,
    energies,
    energiesOfModels,
    leftOut,
    gpusLeftOut,
    reservations: registry.reservations(),
    eventsKept: registry.events.size,
    eventCounts: registry.eventCounts,
  };
}

const hive = each<FleetScrape, HiveView>((scrape) => scrape.heard, ['hive']);

function byLabel(label: string, counts: Readonly<Record<string, number>>, all: readonly string[]) {
  return all.map((value) => ({ value: counts[value] ?? 0, labels: { [label]: value } }));
}

/** The one that holds alone: with every other one beside it as 0, most of what a large fleet says would be zeros. */
const holds = (label: string, state: string, shared: LabelValues) => ({ value: 1, labels: { [label]: state }, shared });

const totalFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_fleet_hives',
    type: 'gauge',
    help: 'Hives by liveness.',
    labels: ['liveness'],
    collect: ({ fleet }) => byLabel('liveness', fleet.hives, livenesses),
  },
  {
    name: 'hivepulse_fleet_gpus',
    type: 'gauge',
    help: 'GPUs by health; offline: of hives that are not heard.',
    labels: ['health'],
    collect: ({ fleet }) => byLabel('health', fleet.gpus.byHealth, [...gpuHealths, 'offline']),
  },
  {
    name: 'hivepulse_fleet_workers',
    type: 'gauge',
    help: 'Workers by state; offline: of hives that are not heard.',
    labels: ['state'],
    collect: ({ fleet }) => byLabel('state', fleet.workers.byState, [...workerStates, 'offline']),
  },
  single(
    'gauge',
    'hivepulse_fleet_vram_total_bytes',
    'GPU memory of the GPUs that are heard and whose use is known, MIG devices in their GPU; no sample where there is none.',
    ({ fleet }) => fleet.gpus.memoryTotalBytes,
  ),
  single(
    'gauge',
    'hivepulse_fleet_vram_used_bytes',
    'GPU memory in use on the same GPUs.',
    ({ fleet }) => fleet.gpus.memoryUsedBytes,
  ),
  single(
    'gauge',
    'hivepulse_fleet_vram_uncounted_gpus',
    'GPUs whose memory is in neither sum: not heard, or its use is not known.',
    ({ fleet }) => fleet.gpus.uncounted,
  ),
  single(
    'gauge',
    'hivepulse_fleet_unknown_gpu_hives',
    'Hives whose GPUs are not known now: they may have some that are in no count; those known before are among the uncounted.',
    ({ fleet }) => fleet.gpus.unknownHives,
  ),
];

const missingFamily: Family<FleetScrape> = {
  name: 'hivepulse_fleet_missing',
  type: 'gauge',
  help: 'What was seen and is gone, by kind (hive, gpu or worker) and reason (silent: no heartbeat comes; stopped: the hive was; notReported: the hive names it no longer); in no other count. hivepulse missing lists it.',
  labels: ['kind', 'reason'],
  *collect({ missing }) {
    for (const { kind, reason, count } of missing) yield { value: count, labels: { kind, reason } };
  },
};

const hiveFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_fleet_hive_info',
    type: 'gauge',
    help: 'The hive and its version; always 1.',
    labels: ['hive', 'hostname', 'version', 'address'],
    *collect({ hives }) {
      for (const { item, labels } of hives) {
        const { hostname, version, address } = item;
        yield { value: 1, shared: labels, labels: knownLabels({ hostname, version, address }) };
      }
    },
  },
  {
    name: 'hivepulse_fleet_hive_liveness',
    type: 'gauge',
    help: 'Liveness of the hive, the one that holds; always 1. A hive that was forgotten has no series.',
    labels: ['hive', 'liveness'],
    *collect({ hives }) {
      for (const { item, labels } of hives) yield holds('liveness', item.liveness, labels);
    },
  },
  {
    name: 'hivepulse_fleet_hive_last_heartbeat_age_seconds',
    type: 'gauge',
    help: 'Time since its last heartbeat was heard.',
    labels: ['hive'],
    *collect({ hives }) {
      for (const { item, labels } of hives) yield { value: item.ageMs / 1000, shared: labels };
    },
  },
  {
    name: 'hivepulse_fleet_hive_state',
    type: 'gauge',
    help: 'State of the hive, the one that holds; always 1.',
    labels: ['hive', 'state'],
    *collect({ heard }) {
      for (const { item, labels } of heard) yield holds('state', item.state, labels);
    },
  },
  hive('gauge', 'hivepulse_fleet_hive_interval_seconds', 'Interval of its heartbeats.', (h) => seconds(h.intervalMs)),
  hive('gauge', 'hivepulse_fleet_hive_workers', 'Workers of the hive.', (h) => h.workerCount),
  {
    name: 'hivepulse_fleet_hive_faults',
    type: 'gauge',
    help: `Faults that stand on the hive, by code, at most ${maxCodes} (the others are ${otherCode}); docs/troubleshooting.md explains them.`,
    labels: ['hive', 'code'],
    *collect({ heard }) {
      for (const { item, labels } of heard) {
        const counts = new Map<string, number>();
        for (const { code } of item.faults) {
          const name = counts.has(code) || counts.size < maxCodes ? code : otherCode;
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
        for (const [code, value] of counts) yield { value, labels: { code }, shared: labels };
      }
    },
  },
];

const gpuFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_fleet_gpu_info',
    type: 'gauge',
    help: 'What the GPU is; always 1.',
    labels: ['hive', 'gpu', 'index', 'name', 'vendor', 'parent'],
    *collect({ gpus }) {
      for (const { item, labels } of gpus) {
        const { index, name, vendor, parentUuid } = item;
        yield { value: 1, shared: labels, labels: knownLabels({ index, name, vendor, parent: parentUuid }) };
      }
    },
  },
  {
    name: 'hivepulse_fleet_gpu_health',
    type: 'gauge',
    help: 'Health of the GPU, the one that holds; always 1.',
    labels: ['hive', 'gpu', 'health'],
    *collect({ gpus }) {
      for (const { item, labels } of gpus) yield holds('health', item.health, labels);
    },
  },
];

const workerFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_fleet_worker_info',
    type: 'gauge',
    help: 'What the worker is; always 1. Labels that are not known are left out.',
    labels: ['hive', 'worker', 'group', 'name', 'model', 'port', 'origin'],
    *collect({ workers }) {
      for (const { item, labels } of workers) {
        const { group, name, model, port, origin } = item;
        yield { value: 1, shared: labels, labels: knownLabels({ group, name, model, port, origin }) };
      }
    },
  },
  {
    name: 'hivepulse_fleet_worker_state',
    type: 'gauge',
    help: 'State of the worker, the one that holds; always 1.',
    labels: ['hive', 'worker', 'state'],
    *collect({ workers }) {
      for (const { item, labels } of workers) yield holds('state', item.state, labels);
    },
  },
];

const shareHelp =
  'watts over generated tokens. gpus is own where it holds its GPUs alone; where it is shared, others hold one too, and the watts are its share by utilization. No sample where watts or tokens are not known, or nothing is generated.';
const gpusLabel = (isShared: boolean) => ({ gpus: isShared ? 'shared' : 'own' });

const energyFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_fleet_worker_joules_per_token',
    type: 'gauge',
    help: `Energy of a token of the worker: ${shareHelp}`,
    labels: ['hive', 'worker', 'gpus'],
    *collect({ energies }) {
      for (const { item, labels } of energies)
        yield { value: joulesOf(item.watts, item.tokensPerSecond), labels: gpusLabel(item.isShared), shared: labels };
    },
  },
  {
    name: 'hivepulse_fleet_model_joules_per_token',
    type: 'gauge',
    help: `Energy of a token of all workers of the model of which it is known: ${shareHelp}`,
    labels: ['model', 'gpus'],
    *collect({ energiesOfModels }) {
      for (const [model, energies] of energiesOfModels) {
        const found = joulesPerToken(energies);
        if (found) yield { value: found.joules, labels: { model, ...gpusLabel(found.isShared) } };
      }
    },
  },
];

const buses = ['memory', 'nats', 'degraded'] as const;
const busResults = {
  passed: 'forwarded',
  heard: 'received',
  skipped: 'superseded',
  malformed: 'malformed',
  oversized: 'oversized',
} as const;

const queenFamilies: readonly Family<FleetScrape>[] = [
  {
    name: 'hivepulse_queen_info',
    type: 'gauge',
    help: 'The queen and its version; always 1.',
    labels: ['queen', 'version'],
    collect: ({ fleet, version }) => [{ value: 1, labels: { queen: fleet.queenId, version } }],
  },
  single('gauge', 'hivepulse_queen_warming', '1 while it may not have heard every hive yet.', ({ fleet }) =>
    flag(fleet.warming),
  ),
  single(
    'counter',
    'hivepulse_queen_heartbeats_accepted_total',
    'Heartbeats taken over HTTP.',
    ({ heartbeats }) => heartbeats.accepted,
  ),
  {
    name: 'hivepulse_queen_heartbeats_refused_total',
    type: 'counter',
    help: 'Heartbeats refused over HTTP, by the code of the problem.',
    labels: ['code'],
    *collect({ heartbeats }) {
      for (const [code, value] of heartbeats.refused) yield { value, labels: { code } };
    },
  },
  {
    name: 'hivepulse_queen_bus',
    type: 'gauge',
    help: 'What queens share: memory (one queen), nats, or degraded (NATS is out of reach); 1 for the one that holds.',
    labels: ['bus'],
    collect: ({ fleet }) => stateSet(buses, 'bus', fleet.bus),
  },
  {
    name: 'hivepulse_queen_bus_heartbeats_total',
    type: 'counter',
    help: 'Heartbeats over NATS: passed on; heard from others; skipped (a newer one came before its turn: the queen falls behind); malformed; oversized (more than max_payload: the others did not hear it).',
    labels: ['result'],
    *collect({ shared }) {
      if (shared === null) return;
      for (const [result, count] of Object.entries(busResults)) yield { value: shared[count], labels: { result } };
    },
  },
  single(
    'gauge',
    'hivepulse_queen_bus_speaks',
    '1 at the queen whose own events (hiveOffline, ...) enter the shared stream; one of them at most.',
    ({ shared }) => (shared === null ? null : flag(shared.isLeader)),
  ),
  single(
    'counter',
    'hivepulse_queen_bus_reservation_conflicts_total',
    'Grants that were planned anew, because another queen had reserved room on the same hive first.',
    ({ shared }) => shared?.conflicts ?? null,
  ),
  {
    name: 'hivepulse_queen_events_total',
    type: 'counter',
    help: 'Events published since the queen started, by kind: those of hives (oomKill, also of a worker that ended with it, ...) and those of the queen itself (hiveOffline, ...).',
    labels: ['kind'],
    *collect({ eventCounts }) {
      for (const [kind, value] of eventCounts) yield { value, labels: { kind } };
    },
  },
  single('gauge', 'hivepulse_queen_events_kept', 'Events kept for replay.', ({ eventsKept }) => eventsKept),
  single('gauge', 'hivepulse_queen_streams', 'Event streams that are open.', ({ streams }) => streams),
  single(
    'counter',
    'hivepulse_queen_streams_parted_total',
    'Event streams that were closed because their readers did not keep up.',
    ({ streamsParted }) => streamsParted,
  ),
  single('gauge', 'hivepulse_queen_reservations', 'Reservations in force.', ({ reservations }) => reservations.length),
  single('gauge', 'hivepulse_queen_reserved_vram_bytes', 'GPU memory that reservations claim.', ({ reservations }) =>
    reservations.reduce((sum, { vramBytes, gpuUuids }) => sum + vramBytes * gpuUuids.length, 0),
  ),
  single(
    'gauge',
    'hivepulse_queen_workers_without_series',
    'Workers beyond metricsWorkers, which have no series of their own here.',
    ({ leftOut }) => leftOut,
  ),
  single(
    'gauge',
    'hivepulse_queen_gpus_without_series',
    'GPUs beyond metricsGpus, which have no series of their own here.',
    ({ gpusLeftOut }) => gpusLeftOut,
  ),
];

/**
 * Everything that a queen says of its fleet and of itself. Gauges only, under names of their own: the counters are the
 * hives', and a sum over both must not count twice.
 */
export const familiesOfQueen: readonly Family<FleetScrape>[] = [
  ...totalFamilies,
  missingFamily,
  ...hiveFamilies,
  ...familiesOf<FleetScrape>(hostFields, 'fleet', (scrape) => scrape.hosts, ['hive']),
  ...gpuFamilies,
  ...familiesOf<FleetScrape>(gpuFields, 'fleet', (scrape) => scrape.gpus, ['hive', 'gpu']),
  ...workerFamilies,
  ...familiesOf<FleetScrape>(workerFields, 'fleet', (scrape) => scrape.workers, ['hive', 'worker']),
  ...energyFamilies,
  ...queenFamilies,
];
