import type { NullReason } from '../contract/enums.js';
import type { FieldTable } from '../contract/fields/field.js';
import { isNullable, known } from '../contract/fields/shape.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Pressure, WorkerSample } from '../contract/heartbeat.js';
import { compiled } from '../util/compiled.js';

/** Stands for a value that is not known until its reason is taken down. */
export class Unknown {
  /** null: a fault or another field of the same heartbeat says it. */
  readonly reason: NullReason | null;

  constructor(reason: NullReason | null) {
    this.reason = reason;
  }
}

const unknowns = new Map<NullReason | null, Unknown>();

/** The same object for each reason: a worker has many values, and a tick many workers. */
export function unknown(reason: NullReason | null): Unknown {
  let found = unknowns.get(reason);
  if (found === undefined) {
    found = new Unknown(reason);
    unknowns.set(reason, found);
  }
  return found;
}

/** A fault of the same heartbeat, or another field of the same worker, says why. */
export const saidElsewhere = unknown(null);

type Fields = typeof workerFields;
/** Fields whose row says what null means: that there is none, or which field has the reason. */
type MayBeNull = {
  [K in keyof Fields]: Fields[K] extends { readonly absent: string } | { readonly reasonIn: string } ? K : never;
}[keyof Fields];

/**
 * A worker before its reasons are taken down. No value can be null for no reason: what is not known is `Unknown`, and null
 * stands only where the field's row says what it means.
 */
export type WorkerDraft = {
  -readonly [K in keyof Omit<WorkerSample, 'nullReasons' | 'pressure'>]: null extends WorkerSample[K]
    ? Exclude<WorkerSample[K], null> | Unknown | (K extends MayBeNull ? null : never)
    : WorkerSample[K];
} & { pressure: { [K in keyof Pressure]: Exclude<Pressure[K], null> | Unknown } };

/** Fields that a cgroup alone can tell. */
type OfCgroup = {
  [K in keyof Fields]: Fields[K] extends { readonly ofCgroup: true } ? K : never;
}[keyof Fields];

/** All that a cgroup alone can tell, of a worker that has none of its own: nothing of it is known. */
export function withoutCgroup(): Pick<WorkerDraft, OfCgroup> {
  const reason = unknown('noCgroup');
  const names = Object.entries(workerFields as FieldTable).flatMap(([name, { ofCgroup }]) => (ofCgroup ? [name] : []));
  const pressure = Object.fromEntries(pressureFields.map(({ name }) => [name, reason]));
  return { ...Object.fromEntries(names.map((name) => [name, reason])), pressure } as Pick<WorkerDraft, OfCgroup>;
}

/** A value that may be null: where it stands, and its key in `nullReasons`. */
interface Place {
  readonly name: string;
  readonly key: string;
}

const nullables = (table: FieldTable): readonly Place[] =>
  Object.entries(table).flatMap(([name, { shape }]) => (isNullable(shape) ? [{ name, key: name }] : []));
const nullableFields = nullables(workerFields);
const pressureFields: readonly Place[] = Object.keys(known(workerFields.pressure.shape).properties ?? {}).map(
  (name) => ({ name, key: `pressure.${name}` }),
);

type Values = Record<string, unknown>;

/**
 * Reasons of one worker, and what they become with one more. Nearly all workers of a host lack the same values for the same
 * reasons from tick to tick: they share one record, which nobody changes, instead of each having a new one.
 */
class Reasons {
  readonly record: Readonly<Record<string, NullReason>>;
  readonly #next = new Map<string, Map<NullReason, Reasons>>();

  constructor(record: Readonly<Record<string, NullReason>> = {}) {
    this.record = Object.freeze(record);
  }

  with(key: string, reason: NullReason): Reasons {
    let after = this.#next.get(key);
    if (after === undefined) {
      after = new Map();
      this.#next.set(key, after);
    }
    let found = after.get(reason);
    if (found === undefined) {
      found = new Reasons({ ...this.record, [key]: reason });
      if (knownReasons >= maxKnownReasons) return found;
      knownReasons += 1;
      after.set(reason, found);
    }
    return found;
  }
}

/** More are made anew each time. */
const maxKnownReasons = 10_000;
let knownReasons = 0;
const noReasons = new Reasons();

/** Sets what is not known to null; gives `reasons` with those of it. */
type Settle = (values: Values, reasons: Reasons, isUnknown: (value: unknown) => value is Unknown) => Reasons;

const isUnknown = (value: unknown): value is Unknown => value instanceof Unknown;

/** One function for these places, so that no value is looked up by a name that differs. */
const settleOf = (places: readonly Place[]): Settle =>
  compiled<Settle>(
    'values, reasons, isUnknown',
    `let value;\n${places
      .map(
        ({ name, key }) =>
          `if (typeof (value = values.${name}) === 'object' && isUnknown(value)) {
            values.${name} = null;
            if (value.reason !== null) reasons = reasons.with('${key}', value.reason);
          }`,
      )
      .join('\n')}\nreturn reasons;`,
    (values, reasons) => {
      let found = reasons;
      for (const { name, key } of places) {
        const value = values[name];
        if (!isUnknown(value)) continue;
        values[name] = null;
        if (value.reason !== null) found = found.with(key, value.reason);
      }
      return found;
    },
  );
const settleFields = settleOf(nullableFields);
const settlePressure = settleOf(pressureFields);

/** The worker as it travels: what is not known is null, and `nullReasons` says why where nothing else does. */
export function settle(draft: WorkerDraft): WorkerSample {
  const values = draft as unknown as Values;
  const ofFields = settleFields(values, noReasons, isUnknown);
  const reasons = settlePressure(values.pressure as Values, ofFields, isUnknown);
  if (reasons !== noReasons) values.nullReasons = reasons.record;
  return values as unknown as WorkerSample;
}

/** `reason` for each value that is null and of which its row says nothing, limits included. */
export function reasonsForAll(sample: WorkerSample, reason: NullReason): Record<string, string> {
  const table: FieldTable = workerFields;
  const values = sample as unknown as Values;
  const places = nullableFields.filter(({ name }) => {
    const { absent, reasonIn } = table[name] ?? {};
    const isNone = absent !== undefined && absent !== workerFields.memoryLimitBytes.absent;
    return values[name] === null && !isNone && reasonIn === undefined;
  });
  return Object.fromEntries([...places, ...pressureFields].map(({ key }) => [key, reason]));
}
