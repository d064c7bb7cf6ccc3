import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TValidationError } from 'typebox/error';
import { isObject } from '../util/is-object.js';
import { plural } from '../util/plural.js';
import { queenEventKinds } from './api.js';
import { hasOversizedRecord, hasTooManyLabels, oversizedField } from './bounds.js';
import { collectionFields } from './fields/collection.js';
import type { FieldTable } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { hostFields } from './fields/host.js';
import { nullImplausible, plausibleCheck, plausibleRules, type Rule } from './fields/plausible.js';
import { servingFields } from './fields/serving.js';
import { known, type Shape } from './fields/shape.js';
import { workerFields } from './fields/worker.js';
import { workerGpuFields } from './fields/worker-gpu.js';
import {
  Collection,
  Fault,
  GpuSample,
  type Heartbeat,
  Heartbeat as HeartbeatSchema,
  HiveEvent,
  HiveInfo,
  StoredGpu,
  StoredWorker,
  WorkerSample,
} from './heartbeat.js';
import { maxDetailLength } from './limits.js';
import { addAbsentOfGpu, addAbsentOfWorker } from './stored.js';

/** Why a heartbeat was refused whole. `field` is a dotted path (`hive.id`, `workers.3.pid`), empty for the heartbeat itself. */
export interface Refusal {
  readonly code: 'INVALID_HEARTBEAT' | 'UNSUPPORTED_SCHEMA' | 'TOO_MANY_WORKERS';
  readonly field: string;
  readonly message: string;
}

export type HeartbeatVerdict =
  /** `isAltered`: some of what was sent was left out or set to null, and faults say so. */
  | { readonly ok: true; readonly heartbeat: Heartbeat; readonly isAltered: boolean }
  | { readonly ok: false; readonly refusal: Refusal };

export interface HeartbeatLimits {
  readonly maxWorkers: number;
}

const maxEvents = 10_000;
const maxFaults = 1000;
/** Wrong items of a heartbeat of which it is said what is wrong: to find that out costs a hundred times the check. */
const maxExplained = 32;

/**
 * RFC 3339, days by month. The general check of the format is ten times slower and takes suffixes of any length; this one
 * runs for each worker of each heartbeat. Of what it takes, only a 29 February of a common year is no date.
 */
const timePattern = [
  '^\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|[12]\\d))',
  'T(?:[01]\\d|2[0-3]):[0-5]\\d:(?:[0-5]\\d|60)(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)$',
].join('');

/**
 * What a value of an enum becomes where a newer hive says one that this queen does not know: always the value that
 * promises least. A state not known is not schedulable, a health not known is not `ok`.
 */
const unknownValues = new Map<unknown, string>([
  [HiveInfo.properties.state, 'draining'],
  [HeartbeatSchema.properties.gpusKnown, 'unknown'],
  ...leastValues(workerFields, WorkerSample),
  ...leastValues(gpuFields, GpuSample),
  ...leastValues(collectionFields, Collection),
  [(Collection.properties.gpuReaders as unknown as { items: unknown }).items, 'none'],
]);

function leastValues(table: FieldTable, schema: { readonly properties: object }): [unknown, string][] {
  return Object.entries(schema.properties).flatMap(([name, property]): [unknown, string][] => {
    const least = table[name]?.least;
    return least === undefined ? [] : [[known(property as Shape<unknown>), least]];
  });
}

/** JSON Schema as this file walks it. */
interface Node {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly patternProperties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly enum?: readonly string[];
  readonly format?: string;
}

const asNode = (schema: TSchema): Node => schema as unknown as Node;

/** The schema with nothing let through that it does not name. Event kinds stay open: an event is kept even if its kind is new. */
function closeSchema(node: Node): Node {
  if (node === asNode(HiveEvent.properties.kind))
    return { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9.]{0,63}$' } as Node;
  // Any object: to match each of its keys against the pattern of all keys takes longer than everything else.
  if (node === asNode(HiveEvent.properties.detail)) return { type: 'object' } as Node;
  if (node.format === 'date-time') return { type: 'string', pattern: timePattern } as Node;
  const closed: Record<string, unknown> = { ...node };
  if (node.properties !== undefined) {
    closed.properties = Object.fromEntries(
      Object.entries(node.properties).map(([key, value]) => [key, closeSchema(value)]),
    );
    closed.additionalProperties = false;
  } else if (node.patternProperties !== undefined) closed.additionalProperties = false;
  if (node.items !== undefined) closed.items = closeSchema(node.items);
  if (node.anyOf !== undefined) closed.anyOf = node.anyOf.map(closeSchema);
  return closed as Node;
}

const compile = (schema: TSchema) => Compile(closeSchema(asNode(schema)) as TSchema);

const { gpus, workers, events, faults, ...rest } = HeartbeatSchema.properties;
/** The heartbeat without what is checked item by item. */
const Envelope = { type: 'object', required: Object.keys(rest), properties: rest } as unknown as TSchema;
const lists = { gpus, workers, events, faults } as const;

/**
 * A heartbeat of this version once `addAbsent` has filled it: where some fields may be missing, each key there is has to be
 * matched against a pattern of all, which doubles the time. Heartbeats of older hives are checked item by item.
 */
const exactSchema = compile({
  ...HeartbeatSchema,
  properties: {
    ...HeartbeatSchema.properties,
    gpus: { ...gpus, items: StoredGpu },
    workers: { ...workers, items: StoredWorker },
  },
} as unknown as TSchema);
const envelope = compile(Envelope);
const items = {
  gpus: compile(GpuSample),
  workers: compile(WorkerSample),
  events: compile(HiveEvent),
  faults: compile(Fault),
};
type List = keyof typeof items;

const malformed: Readonly<Record<List, string>> = {
  gpus: 'MALFORMED_GPU',
  workers: 'MALFORMED_WORKER',
  events: 'MALFORMED_EVENT',
  faults: 'MALFORMED_FAULT',
};

/** Numbers that no device can have: an older hive may send what its driver says. */
const rules = {
  host: plausibleRules(hostFields),
  gpus: plausibleRules(gpuFields),
  workers: plausibleRules(workerFields),
  workerGpus: plausibleRules(workerGpuFields),
  serving: plausibleRules(servingFields),
};
const plausible = {
  host: plausibleCheck(rules.host),
  gpus: plausibleCheck(rules.gpus),
  workers: plausibleCheck(rules.workers),
  workerGpus: plausibleCheck(rules.workerGpus),
  serving: plausibleCheck(rules.serving),
};

function arePlausible({ gpus, workers }: Pick<Heartbeat, 'gpus' | 'workers'>): boolean {
  for (const gpu of gpus) if (!plausible.gpus(gpu)) return false;
  for (const worker of workers) {
    if (!plausible.workers(worker)) return false;
    if (worker.serving != null && !plausible.serving(worker.serving)) return false;
    for (const held of worker.gpus) if (!plausible.workerGpus(held)) return false;
  }
  return true;
}

/** Sets to null what no device can have, with a fault that names field and value. */
function nullGarbage(of: readonly Rule[], item: unknown, subject: Partial<Fault>, found: Fault[]): void {
  if (!isObject(item)) return;
  nullImplausible(of, item, (field, value) =>
    found.push({
      source: 'queen',
      code: 'IMPLAUSIBLE',
      message: `The hive sent ${value} for ${field}: no device has that. A newer version of the hive says why it is not known.`,
      field,
      ...subject,
    }),
  );
}

function nullGarbageOf(list: List, item: unknown, found: Fault[]): void {
  if (!isObject(item)) return;
  if (list === 'gpus') nullGarbage(rules.gpus, item, subjectOf(list, item), found);
  if (list !== 'workers') return;
  const subject = subjectOf(list, item);
  nullGarbage(rules.workers, item, subject, found);
  nullGarbage(rules.serving, item.serving, subject, found);
  if (!Array.isArray(item.gpus)) return;
  for (const held of item.gpus) nullGarbage(rules.workerGpus, held, { ...subject, ...subjectOf('gpus', held) }, found);
}

/** Which GPU or worker an entry is of, where it says. */
function subjectOf(list: List, item: unknown): Pick<Fault, 'workerId' | 'gpuUuid'> {
  if (!isObject(item) || (list !== 'workers' && list !== 'gpus')) return {};
  const name = list === 'workers' ? item.id : item.uuid;
  if (typeof name !== 'string' || name.length === 0 || name.length > 96) return {};
  return list === 'workers' ? { workerId: name } : { gpuUuid: name };
}

/** A copy that holds only what the schema names, with unknown enum values replaced. Wrong types are left for the check. */
function stripUnknown(node: Node, value: unknown): unknown {
  if (node.anyOf !== undefined) {
    const some = node.anyOf.find((each) => each.type !== 'null');
    return value === null || some === undefined ? value : stripUnknown(some, value);
  }
  if (node.enum !== undefined && typeof value === 'string' && !node.enum.includes(value))
    return unknownValues.get(node) ?? value;
  if (node.items !== undefined && Array.isArray(value)) {
    const item = node.items;
    return value.map((each) => stripUnknown(item, each));
  }
  if (node.properties !== undefined && isObject(value)) {
    const copy: Record<string, unknown> = {};
    for (const [key, property] of Object.entries(node.properties))
      if (Object.hasOwn(value, key)) copy[key] = stripUnknown(property, value[key]);
    return copy;
  }
  return value;
}

/** `/hive/id` -> `hive.id`, with the name of what is missing where that is the fault. */
function fieldOf(error: TValidationError): string {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (error.keyword === 'required') path.push(error.params.requiredProperties[0] ?? '');
  return path.join('.').slice(0, 128);
}

/** The deepest error is the cause; the others say that what contains it is wrong as well. */
function deepest(errors: readonly (TValidationError & { message: string })[]): { field: string; message: string } {
  let best = { field: '', message: 'is malformed' };
  let depth = -1;
  for (const error of errors) {
    const field = fieldOf(error);
    const here = field === '' ? 0 : field.split('.').length;
    if (here <= depth) continue;
    depth = here;
    best = { field, message: error.keyword === 'required' ? 'is missing' : error.message };
  }
  return best;
}

const refuse = (code: Refusal['code'], field: string, message: string): HeartbeatVerdict => ({
  ok: false,
  refusal: { code, field, message },
});

function detailTooLong(event: HiveEvent): boolean {
  if (Object.hasOwn(event.detail, '__proto__')) return true;
  try {
    return JSON.stringify(event.detail).length > maxDetailLength;
  } catch (error) {
    // Nested so deep that the stack is not enough for it: its brackets alone are longer than what is taken.
    if (error instanceof RangeError) return true;
    throw error;
  }
}

const queenKinds: ReadonlySet<string> = new Set(queenEventKinds);
const twice = 'is there twice';

function eventError(event: HiveEvent): { field: string; message: string } | null {
  if (queenKinds.has(event.kind)) return { field: 'kind', message: 'is one that only a queen may report' };
  return detailTooLong(event)
    ? { field: 'detail', message: `is longer than ${maxDetailLength} characters of JSON` }
    : null;
}

/** What a schema cannot say of one item; null = nothing wrong. */
function semanticError(list: List, item: unknown, seen: Set<string>): { field: string; message: string } | null {
  if (list === 'workers') {
    const worker = item as WorkerSample;
    if (worker.id !== `${worker.group}/${worker.instance}`) return { field: 'id', message: 'is not group/instance' };
    if (seen.has(worker.id)) return { field: 'id', message: twice };
    seen.add(worker.id);
  } else if (list === 'gpus') {
    const { uuid } = item as GpuSample;
    if (seen.has(uuid)) return { field: 'uuid', message: twice };
    seen.add(uuid);
  } else if (list === 'events') return eventError(item as HiveEvent);
  return null;
}

/** What is wrong with one item; null = nothing. `found`: how many were wrong before it. */
function errorOf(
  list: List,
  item: unknown,
  seen: Set<string>,
  found: number,
): { field: string; message: string } | null {
  if (items[list].Check(item)) return semanticError(list, item, seen);
  return found < maxExplained ? deepest(items[list].Errors(item)) : { field: '', message: 'is malformed' };
}

/** True where nothing has to be cut, replaced or left out: the case of nearly every heartbeat. */
function isValidFast(body: Readonly<Record<string, unknown>>): body is Heartbeat {
  if (hasOversizedRecord(body) || !exactSchema.Check(body)) return false;
  const heartbeat = body as Heartbeat;
  if (!Number.isSafeInteger(heartbeat.seq) || heartbeat.faults.length > maxFaults) return false;
  for (const list of ['workers', 'gpus', 'events'] as const) {
    const seen = new Set<string>();
    for (const item of heartbeat[list]) if (semanticError(list, item, seen) !== null) return false;
  }
  return plausible.host(heartbeat.host) && arePlausible(heartbeat);
}

/**
 * Whether entries of a heartbeat that come without it are right as they are, so that nothing of them would be left out or set
 * to null. What their sender left out is null then.
 */
export function areRightItems(given: Readonly<Record<List, readonly unknown[]>>): given is Pick<Heartbeat, List> {
  if (given.events.length > maxEvents || given.faults.length > maxFaults || hasOversizedRecord(given)) return false;
  // A hive that sends them so says what it knows of GPUs.
  addAbsent({ ...given, gpusKnown: 'known' });
  for (const list of ['workers', 'gpus', 'events', 'faults'] as const) {
    const seen = new Set<string>();
    for (const item of given[list])
      if (!items[list].Check(item) || semanticError(list, item, seen) !== null) return false;
  }
  return arePlausible(given as Pick<Heartbeat, List>);
}

/** The items of one list that are right; each other one becomes a fault. `whole`: nothing that the list names is missing. */
function partitionItems(list: List, given: readonly unknown[], found: Fault[]): { right: unknown[]; whole: boolean } {
  const right: unknown[] = [];
  let whole = true;
  const seen = new Set<string>();
  const node = asNode(lists[list]).items as Node;
  for (const [index, raw] of given.entries()) {
    const large = oversizedField(raw);
    const item = large === null ? stripUnknown(node, raw) : raw;
    const garbage: Fault[] = [];
    if (large === null) nullGarbageOf(list, item, garbage);
    const wrong = large === null ? errorOf(list, item, seen, found.length) : { field: large, message: 'is too large' };
    if (wrong === null) {
      right.push(item);
      found.push(...garbage);
      continue;
    }
    if (wrong.message !== twice) whole = false;
    const field = [list, String(index), wrong.field].filter((part) => part !== '').join('.');
    found.push({
      source: 'queen',
      code: malformed[list],
      message: `Left out: ${field} ${wrong.message}.`.slice(0, 1024),
      field: field.slice(0, 128),
      ...subjectOf(list, raw),
    });
  }
  return { right, whole };
}

const olderHive = 'the hive is of an older version, which does not say whether it can read GPUs';

/** Fields that a hive leaves out where they are null, set to null. What an older hive cannot say of GPUs is not known. */
function addAbsent({ gpus, workers, gpusKnown }: Readonly<Record<string, unknown>>): void {
  const isOlder = gpusKnown === undefined;
  if (Array.isArray(workers))
    for (const [i, worker] of workers.entries()) {
      if (!isObject(worker)) continue;
      if (isOlder && worker.gpusReason === undefined && Array.isArray(worker.gpus) && worker.gpus.length === 0)
        worker.gpusReason = olderHive;
      workers[i] = addAbsentOfWorker(worker);
    }
  if (Array.isArray(gpus)) for (const [i, gpu] of gpus.entries()) if (isObject(gpu)) gpus[i] = addAbsentOfGpu(gpu);
}

/** What an older hive does not say: whether its list of GPUs is all there is. An empty one may be one that it could not read. */
const withoutKnowledge = ({ gpus }: Readonly<Record<string, unknown>>): Pick<Heartbeat, 'gpusKnown' | 'gpusReason'> =>
  Array.isArray(gpus) && gpus.length > 0
    ? { gpusKnown: 'known', gpusReason: null }
    : { gpusKnown: 'unknown', gpusReason: olderHive };

/** What refuses a heartbeat before a schema walks it. */
function refusalBySight({ schema, hive }: Readonly<Record<string, unknown>>): HeartbeatVerdict | null {
  if (Number.isInteger(schema) && schema !== 1)
    return refuse('UNSUPPORTED_SCHEMA', 'schema', `This queen speaks schema 1, not ${String(schema)}.`);
  if (isObject(hive) && hasTooManyLabels(hive.labels))
    return refuse('INVALID_HEARTBEAT', 'hive.labels', 'hive.labels has too many entries.');
  return null;
}

/**
 * The one place where a heartbeat is checked. A wrong envelope refuses it, naming the field. A wrong worker, GPU, event or
 * fault among good ones is left out and a fault says so; a number that no device can have is null with a fault; without one of its workers the snapshot is incomplete, since one
 * that could not be read is not one that is gone. Fields that this version does not know are dropped (so nothing
 * a hive makes up is kept in memory), unknown enum values become the one that promises least, unknown event kinds stay.
 */
export function readHeartbeat(body: unknown, limits: HeartbeatLimits): HeartbeatVerdict {
  if (!isObject(body)) return refuse('INVALID_HEARTBEAT', '', 'A heartbeat is a JSON object.');
  if (Array.isArray(body.workers) && body.workers.length > limits.maxWorkers)
    return refuse(
      'TOO_MANY_WORKERS',
      'workers',
      `${plural(body.workers.length, 'worker')}, and this queen takes ${limits.maxWorkers} of one hive: raise maxWorkersPerHive.`,
    );
  addAbsent(body);
  if (isValidFast(body)) return { ok: true, heartbeat: body, isAltered: false };

  const refused = refusalBySight(body);
  if (refused !== null) return refused;
  const head = stripUnknown(asNode(Envelope), { ...withoutKnowledge(body), ...body }) as Heartbeat;
  const found: Fault[] = [];
  nullGarbage(rules.host, head.host, {}, found);
  if (!envelope.Check(head)) {
    const { field, message } = deepest(envelope.Errors(head));
    return refuse('INVALID_HEARTBEAT', field, `${field} ${message}.`);
  }
  if (!Number.isSafeInteger(head.seq)) return refuse('INVALID_HEARTBEAT', 'seq', 'seq is not a safe integer.');

  const kept: Partial<Record<List, unknown[]>> = {};
  let workersComplete = head.workersComplete;
  // GPUs last: where there are more faults than are kept, theirs stay, since they distinguish a GPU that could not be read from one that is gone.
  for (const list of ['workers', 'events', 'faults', 'gpus'] as const) {
    const given = body[list];
    if (!Array.isArray(given)) return refuse('INVALID_HEARTBEAT', list, `${list} must be array.`);
    const most = list === 'gpus' ? 256 : list === 'events' ? maxEvents : list === 'faults' ? maxFaults : given.length;
    if (given.length > most && list !== 'faults')
      return refuse('INVALID_HEARTBEAT', list, `${list} has ${given.length} entries; at most ${most} are taken.`);
    const { right, whole } = partitionItems(list, given.slice(0, most), found);
    kept[list] = right;
    if (list === 'workers' && !whole) workersComplete = false;
  }
  const heartbeat = { ...head, ...kept, workersComplete } as unknown as Heartbeat;
  const faults = [...heartbeat.faults, ...found].slice(-maxFaults);
  return { ok: true, heartbeat: { ...heartbeat, faults }, isAltered: found.length > 0 };
}
