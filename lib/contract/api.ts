import { type Static, type TSchema, Type } from 'typebox';
import type { Change } from './changes.js';
import { Cordon } from './cordon.js';
import { Collection, Fault, gpuKnowledgeFields, HiveInfo, HostSample, StoredGpu, StoredWorker } from './heartbeat.js';
import { Amount, Id, Labels, Nullable, OneOf } from './primitives.js';

export const livenesses = ['online', 'late', 'offline'] as const;
export const Liveness = OneOf(livenesses);
export type Liveness = (typeof livenesses)[number];

/** What every item says of its origin: whose it is, and how fresh. */
const provenance = {
  hive: Id('Id of the hive.'),
  liveness: Liveness,
  ageMs: Type.Number({ minimum: 0, description: 'Since the queen heard it.' }),
};

export const HiveView = Type.Object({
  ...HiveInfo.properties,
  ...provenance,
  intervalMs: Type.Integer(),
  host: HostSample,
  workerCount: Type.Integer({ minimum: 0 }),
  ...gpuKnowledgeFields,
  gpus: Type.Array(StoredGpu),
  workersComplete: Type.Boolean(),
  /** Left out where it is not. */
  cordon: Type.Optional(Cordon),
  faults: Type.Array(Fault),
  collection: Collection,
});
export type HiveView = Static<typeof HiveView>;

/** `key` is `hive/group/instance`, unique in the fleet. */
export const WorkerView = Type.Object({
  ...StoredWorker.properties,
  ...provenance,
  key: Type.String({ description: 'hive/group/instance' }),
});
export type WorkerView = Static<typeof WorkerView>;

export const GpuView = Type.Object({
  ...StoredGpu.properties,
  ...provenance,
  freeBytes: Amount('total - used - reserved, less what reservations hold.'),
});
export type GpuView = Static<typeof GpuView>;

export const ListOf = <T extends TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    nextCursor: Nullable(Type.String()),
    warming: Type.Boolean({ description: 'true while the queen has not yet heard the whole fleet.' }),
  });
export const HiveList = ListOf(HiveView);
export type HiveList = Static<typeof HiveList>;
export const WorkerList = ListOf(WorkerView);
export type WorkerList = Static<typeof WorkerList>;
export const GpuList = ListOf(GpuView);
export type GpuList = Static<typeof GpuList>;

/** Why a worker is picked only where no better one is left; the later in this list, the later. */
export const pickGates = ['open', 'unknown', 'full', 'tooLong', 'stale', 'sleeping', 'stalled'] as const;
export type PickGate = (typeof pickGates)[number];

export const PickReason = Type.Object({
  reason: OneOf(
    ['leastCost', 'prefix', 'leastBad', 'utilization'],
    'leastCost: it costs least there. prefix: its prefix was there before, and another worker is not better by enough. leastBad: every worker is gated, and this one is behind the lowest gate. utilization: no engine reports for any of them, so GPU and CPU decide.',
  ),
  gate: OneOf(
    pickGates,
    'What is against it. open: nothing. unknown: no engine reports for it. full: its KV cache is. tooLong: prompt and answer exceed its context. stale: its figures are older than three intervals. sleeping, stalled: as its engine or its state says.',
  ),
  costMs: Nullable(
    Type.Number({ description: 'Likely time to its first token, and what running requests add to it.' }),
  ),
  queueTokens: Nullable(
    Type.Number({ description: 'Prompt tokens that are likely to wait there, without this request.' }),
  ),
  requests: Nullable(Type.Number({ description: 'Requests likely to run or wait there, without this one.' })),
  debits: Nullable(
    Type.Number({ description: 'Those of them that were picked and are not in its engine’s figures yet.' }),
  ),
  tokensPerSecond: Nullable(Type.Number({ description: 'Prompt tokens that it is likely to compute of ours.' })),
  stepMs: Nullable(Type.Number({ description: 'From one token of a running request to its next, as learned.' })),
  compared: Type.Integer({ description: 'Workers that were compared.' }),
});
export type PickReason = Static<typeof PickReason>;

export const WorkerPick = Type.Object({
  id: Type.String({ description: 'For `POST /v1/workers/picks/{id}/done`.' }),
  key: Type.String({ description: '`hive/group/instance`.' }),
  endpoint: Type.String({ description: 'URL at which its server is reached.' }),
  why: PickReason,
});
export type WorkerPick = Static<typeof WorkerPick>;

export const BestWorker = Type.Object({
  worker: Nullable(WorkerView),
  picks: Type.Array(WorkerPick, {
    description:
      'One for each request asked for, as they were made; `worker` is that of the first. Empty: none is ready.',
  }),
  warming: Type.Boolean(),
});
export type BestWorker = Static<typeof BestWorker>;

export const placementStrategies = ['binPack', 'spread', 'mostFree'] as const;

export const PlacementRequest = Type.Object(
  {
    vramBytes: Type.Integer({ minimum: 0, description: 'Asked on each GPU.' }),
    gpuCount: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, default: 1, description: 'On one host, and of one vendor.' }),
    ),
    gpuVendor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 32, description: 'Only GPUs whose `vendor` is this.' }),
    ),
    labels: Type.Optional(Labels),
    memoryBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Host memory asked.' })),
    strategy: Type.Optional(OneOf(placementStrategies)),
    reserveSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600 })),
    idempotencyKey: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  },
  { additionalProperties: false },
);
export type PlacementRequest = Static<typeof PlacementRequest>;

export const refusalReasons = [
  'offline',
  'notReady',
  'cordoned',
  'labelMismatch',
  'gpusUnknown',
  'noGpu',
  'gpuUnhealthy',
  'notEnoughGpus',
  'notEnoughVram',
  'notEnoughMemory',
] as const;

export const Reservation = Type.Object({
  id: Type.String(),
  hive: Type.String(),
  gpuUuids: Type.Array(Type.String()),
  vramBytes: Type.Integer({ minimum: 0, description: 'On each GPU.' }),
  memoryBytes: Type.Integer({ minimum: 0 }),
  expiresInMs: Type.Number({ minimum: 0 }),
});
export type Reservation = Static<typeof Reservation>;

export const PlacementReply = Type.Object({
  candidates: Type.Array(
    Type.Object({
      hive: Type.String(),
      gpus: Type.Array(
        Type.Object({
          uuid: Type.String(),
          freeBytes: Amount(
            'As of the GPU; null only of a reservation asked for again, whose GPU is gone or says nothing.',
          ),
        }),
      ),
      memoryAvailableBytes: Nullable(Type.Number()),
    }),
    { description: 'Best first; 1000 at most.' },
  ),
  candidateCount: Type.Integer({ minimum: 0 }),
  refusals: Type.Array(Type.Object({ hive: Type.String(), reason: OneOf(refusalReasons), detail: Type.String() }), {
    description: 'Why each other hive was refused; 1000 at most.',
  }),
  refusedCount: Type.Integer({ minimum: 0 }),
  reservation: Nullable(Reservation),
  warming: Type.Boolean(),
});
export type PlacementReply = Static<typeof PlacementReply>;

export const MissingCounts = Type.Object(
  {
    hives: Type.Integer({ minimum: 0 }),
    gpus: Type.Integer({ minimum: 0 }),
    workers: Type.Integer({ minimum: 0 }),
    revision: Type.Integer({ minimum: 0, description: 'Rises with each change of `GET /v1/missing` at this queen.' }),
  },
  { description: 'What was seen and is gone; in no other count.' },
);
export type MissingCounts = Static<typeof MissingCounts>;

export const Fleet = Type.Object({
  hives: Type.Object({ online: Type.Integer(), late: Type.Integer(), offline: Type.Integer() }),
  gpus: Type.Object({
    total: Type.Integer(),
    byHealth: Type.Record(Type.String(), Type.Integer(), {
      description: '`offline`: of hives that are not heard, whatever they said last.',
    }),
    memoryTotalBytes: Nullable(
      Type.Number({
        description: 'Over GPUs that are heard and whose use is known, MIG devices in their GPU; null: there is none.',
      }),
    ),
    memoryUsedBytes: Nullable(Type.Number({ description: 'Over the same GPUs.' })),
    uncounted: Type.Integer({ description: 'GPUs whose memory is in neither sum.' }),
    unknownHives: Type.Integer({
      description:
        'Hives with `gpusKnown: unknown`, late and offline ones too: they may have GPUs that are in no count. Those that they listed before stay in `total` and `uncounted`.',
    }),
  }),
  workers: Type.Object({
    total: Type.Integer(),
    byState: Type.Record(Type.String(), Type.Integer(), {
      description: '`offline`: of hives that are not heard, whatever they said last.',
    }),
  }),
  missing: MissingCounts,
  heartbeatsPerSecond: Type.Number(),
  queenId: Type.String(),
  bus: OneOf(['memory', 'nats', 'degraded']),
  warming: Type.Boolean(),
});
export type Fleet = Static<typeof Fleet>;

/** One series per name; times are ages, so that no clock needs to agree. Steps of 10 s or two minutes, oldest first. */
export const History = Type.Object({
  stepMs: Type.Integer(),
  newestAgeMs: Type.Number({ description: 'Age of the last step.' }),
  series: Type.Record(Type.String(), Type.Array(Nullable(Type.Number()))),
});
export type History = Static<typeof History>;

/** Who the caller is to this queen. */
export const Session = Type.Object({
  required: Type.Boolean({ description: 'false: this queen asks nobody for a token.' }),
  role: Nullable(OneOf(['hive', 'read', 'schedule', 'admin'])),
});
export type Session = Static<typeof Session>;

export const SessionRequest = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 512 }) },
  { additionalProperties: false },
);
export type SessionRequest = Static<typeof SessionRequest>;

/** RFC 9457. */
export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String({ description: 'Stable; match on this.' }),
  field: Type.Optional(Type.String()),
});
export type Problem = Static<typeof Problem>;

/** What the queen itself concludes. Hive-side kinds are in `hiveEventKinds`. */
export const queenEventKinds = [
  'workerAppeared',
  'workerGone',
  'workerStateChanged',
  'hiveJoined',
  'hiveOnline',
  'hiveLate',
  'hiveOffline',
  'hiveRemoved',
  'hiveRestarted',
  'hiveCordoned',
  'hiveUncordoned',
  'attentionSilenced',
  'attentionUnsilenced',
  'duplicateHiveId',
  'eventsOmitted',
] as const;

/** One entry of the stream: SSE `event` (reported by a hive) or `queenEvent` (found out by the queen). */
export const FleetEvent = Type.Object({
  id: Type.String({ description: 'epoch-sequence' }),
  at: Type.String({ format: 'date-time' }),
  kind: Type.String(),
  hive: Type.String(),
  workerId: Type.Optional(Type.String()),
  gpuUuid: Type.Optional(Type.String()),
  model: Type.Optional(Nullable(Type.String())),
  detail: Type.Record(Type.String(), Type.Unknown()),
});
export type FleetEvent = Static<typeof FleetEvent>;

/** SSE `snapshot`: the first message of a stream, and after `reset` and `lagged`. */
export interface StreamSnapshot {
  readonly hives: readonly HiveView[];
  readonly workers: readonly WorkerView[];
  readonly warming: boolean;
  /** The newest event this snapshot holds; a client that has had no event yet resumes from it. */
  readonly lastEventId: string;
}

/** SSE `heartbeat`: rows of one hive that changed; coalesced per hive for a slow reader. */
export interface StreamHeartbeat {
  readonly hive: HiveView;
  readonly workers: readonly WorkerView[];
  /** Keys of workers that are gone. */
  readonly gone: readonly string[];
  /** true: `workers` are all that the hive has (or all that pass the filter); forget its others. */
  readonly whole: boolean;
}

/**
 * SSE `changes`, of streams that ask for it: what differs of rows that were sent before (`changes.ts` says how that is written), and
 * whole rows of workers that are new. `heartbeat` comes in its place where a hive is new or its change cannot be put so.
 */
export interface StreamChanges {
  readonly hive: string;
  readonly ageMs: number;
  readonly liveness: Liveness;
  /** Of the hive; left out where nothing of it changed. */
  readonly change?: Change;
  /** By `group/instance`. */
  readonly workers: Readonly<Record<string, Change>>;
  readonly added: readonly WorkerView[];
  /** Keys of workers that are gone. */
  readonly gone: readonly string[];
}

/** SSE `lagged`: events that this client lost by reading too slowly. Where it has rows, a `snapshot` makes them right again. */
export interface StreamLagged {
  readonly dropped: number;
}

/**
 * SSE `position`, of a stream with a filter: up to this event nothing that passes the filter is missing. It is where to
 * resume, since the last event that the client was sent may be too old for that, or there was none.
 */
export interface StreamPosition {
  readonly lastEventId: string;
}
