import { type Static, type TProperties, Type } from 'typebox';
import { livenesses } from './api.js';
import { workerSortNames } from './fields/sorts.js';
import { gpuHealths, hiveStates, workerStates } from './heartbeat.js';
import { missingKinds } from './missing.js';
import { Id, OneOf } from './primitives.js';

/** What people and programs ask in a query string. Names that are not here are refused: a misspelt filter is no filter. */
const query = <T extends TProperties>(properties: T) => Type.Object(properties, { additionalProperties: false });

const paging = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, description: 'Most items of one page; 100 by default.' }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 1024,
      description: '`nextCursor` of the page before, with the same query.',
    }),
  ),
};

const liveness = Type.Optional(OneOf(livenesses, 'Of the hive; all by default.'));
const hive = Type.Optional(Id('Only of this hive.'));

/** `key:value`; a key has no colon. */
const LabelPair = Type.String({ pattern: '^(?!__proto__:)[A-Za-z0-9_./-]{1,63}:.{0,256}$' });
const label = Type.Optional(
  Type.Union([LabelPair, Type.Array(LabelPair, { maxItems: 32 })], {
    description: '`key:value`, may be repeated; all must match.',
  }),
);

const model = Type.String({ minLength: 1, maxLength: 512 });
const bytes = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));

export const HivesQuery = query({ liveness, state: Type.Optional(OneOf(hiveStates)), label, ...paging });
export type HivesQuery = Static<typeof HivesQuery>;

export const WorkersQuery = query({
  model: Type.Optional(model),
  state: Type.Optional(OneOf(workerStates)),
  group: Type.Optional(Id('Only of this group.')),
  hive,
  label,
  minFreeVramBytes: bytes('Some GPU that it holds has this much room left.'),
  liveness,
  sort: Type.Optional(OneOf(workerSortNames, '`-` before a name: highest first. Unknown values come last either way.')),
  ...paging,
});
export type WorkersQuery = Static<typeof WorkersQuery>;

export const GpusQuery = query({
  minFreeBytes: bytes('total - used - reserved, less what reservations hold.'),
  health: Type.Optional(OneOf(gpuHealths)),
  hive,
  liveness,
  ...paging,
});
export type GpusQuery = Static<typeof GpusQuery>;

export const MissingQuery = query({ kind: Type.Optional(OneOf(missingKinds)), hive, ...paging });
export type MissingQuery = Static<typeof MissingQuery>;

export const HistoryQuery = query({
  span: Type.Optional(
    OneOf(['hour', 'day'] as const, 'hour: steps of 10 s. day: steps of two minutes. By default the hour.'),
  ),
});
export type HistoryQuery = Static<typeof HistoryQuery>;

/** `hive/group/instance` */
const WorkerKey = Type.String({ minLength: 5, maxLength: 512 });

export const BestQuery = query({
  model,
  promptTokens: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1e8,
      description: 'Of the prompt. By default what prompts had on average that were picked for before.',
    }),
  ),
  maxTokens: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1e8,
      description: 'Most tokens of the answer. A worker whose context is shorter than both together comes last.',
    }),
  ),
  prefixKey: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description:
        'Requests with the same key go to the same worker while that is not slower by more than half their prefill: a conversation, or a hash of how the prompt begins.',
    }),
  ),
  count: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 64, description: 'Requests to pick for at once; 1 by default.' }),
  ),
  exclude: Type.Optional(
    Type.Union([WorkerKey, Type.Array(WorkerKey, { maxItems: 32 })], {
      description: 'Key of a worker that is not to be picked, may be repeated: where the request was tried.',
    }),
  ),
});
export type BestQuery = Static<typeof BestQuery>;

export const EventsQuery = query({
  hive,
  model: Type.Optional(model),
  kind: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z]+(,[A-Za-z]+){0,31}$',
      description:
        'Comma list of messages (`heartbeat`, `event`, `queenEvent`) and kinds of events (`oomKill`, `hiveOffline`...). ' +
        'Without `heartbeat` in it the stream has no rows, and so no `snapshot`.',
    }),
  ),
  changes: Type.Optional(
    Type.Boolean({
      description:
        'true: once a row was sent only what changes of it is, as `changes`, gathered over a tenth of a second; gzip for whom `Accept-Encoding` says it. ' +
        'For streams of all rows; one of a hive or a model keeps to `heartbeat`.',
    }),
  ),
  lists: Type.Optional(
    Type.Boolean({
      description:
        'true, with `changes`: figures that no list shows (I/O, pressure, peaks, clocks) are those of the snapshot; ask for the one host or worker for them.',
    }),
  ),
  lastEventId: Type.Optional(
    Type.String({
      maxLength: 128,
      description: 'As the header Last-Event-ID, for a first connection; the header wins.',
    }),
  ),
});
export type EventsQuery = Static<typeof EventsQuery>;
