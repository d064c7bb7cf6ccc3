import type { ChangedCells } from '../contract/stream/cells.js';
import { StreamCodecError, sentSchema } from '../contract/stream/codec.js';
import {
  boundsOf,
  type Column,
  type ColumnBounds,
  isTextHere,
  isTick,
  type RowType,
  rowTypes,
  type StreamSchema,
} from '../contract/stream/columns.js';
import { compiled } from '../util/compiled.js';
import type { GpuNumbers } from './records.js';

/** A value that no device has, or that its field can't have: a whole heartbeat is judged with it. */
export class ImplausibleDelta extends Error {}

type Item = Record<string, unknown>;

/**
 * A record within an item (`host`, `host.pressure`). Views share it, so it is never written: the first change of a row puts a
 * copy in its place.
 */
class Holder {
  readonly #parent: Holder | null;
  readonly #get: (item: Item) => unknown;
  readonly #replace: (item: Item) => Item;
  #own: Item | null = null;
  #ownOf: object | null = null;

  constructor(parent: Holder | null, name: string) {
    this.#parent = parent;
    this.#get = compiled('item', `return item.${name};`, (item: Item) => item[name]);
    this.#replace = compiled('item', `return item.${name} = { ...item.${name} };`, (item: Item) => {
      const own = { ...(item[name] as Item) };
      item[name] = own;
      return own;
    });
  }

  /** The record as it is now; null: there is none. */
  recordOf(item: Item): Item | null {
    const within = this.#parent === null ? item : this.#parent.recordOf(item);
    return within === null ? null : ((this.#get(within) ?? null) as Item | null);
  }

  /** The item's own copy; one until `close`. */
  open(item: Item): Item {
    if (this.#own !== null && this.#ownOf === item) return this.#own;
    this.#own = this.#replace(this.#parent === null ? item : this.#parent.open(item));
    this.#ownOf = item;
    return this.#own;
  }

  close(): void {
    this.#own = null;
    this.#ownOf = null;
  }
}

/** What this queen knows of a column of a hive, and how it writes a value of it. */
interface KnownColumn {
  readonly bounds: ColumnBounds;
  /** Null: the value stands in the item itself. */
  readonly holder: Holder | null;
  set(item: Item, value: number | null): void;
}

type Setter = KnownColumn['set'];

function setterOf({ path, words }: Column, bounds: ColumnBounds): Setter {
  const name = path.at(-1)!;
  if (words === undefined || bounds.words === null)
    return compiled<Setter>('item, value', `item.${name} = value;`, (item, value) => {
      item[name] = value;
    });
  const { all, least } = bounds.words;
  // Those of the hive; what this queen has never heard of promises the least.
  const own = words.map((word) => (all.includes(word) ? word : least));
  return (item, value) => {
    item[name] = value === null ? null : own[value];
  };
}

/** What this queen knows of a column; null: nothing. @throws StreamCodecError where it would never hear of what it knows */
function boundsHere(type: RowType, column: Column): ColumnBounds | null {
  const bounds = boundsOf(type, column);
  const isOfOtherKind =
    bounds === null ? isTextHere(type, column) : (bounds.words === null) !== (column.words === undefined);
  if (isOfOtherKind) throw new StreamCodecError(`${column.name} is of another kind here`);
  return bounds === null || column.words === undefined ? bounds : { ...bounds, most: column.words.length - 1 };
}

/** A column that can't pass another one of its row. */
interface Limited {
  readonly at: number;
  readonly of: number;
  readonly slack: number;
}

/** Of a column; 0: this queen does not know it. */
const trait = {
  known: 1,
  whole: 2,
  nullable: 4,
  /** Some values within its bounds are none. */
  forbids: 8,
  /** More than what changes by itself is different where it is. */
  reports: 32,
  /** Written at once: what is free on a host depends on it with each heartbeat. */
  current: 64,
  /** A word, as its place. */
  coded: 128,
} as const;

/** All columns of one type of row. */
export class RowPlan {
  /** Null: this queen does not know the column. */
  readonly #columns: readonly (KnownColumn | null)[];
  /** What each heartbeat asks of a column, side by side: `trait`, and the bounds. */
  readonly #traits: Uint8Array;
  readonly #least: Float64Array;
  readonly #most: Float64Array;
  readonly #limited: readonly Limited[];
  readonly #holders: readonly Holder[];
  /** Of each column the bit of the record that it stands in; 0: of the item itself, or of nothing here. */
  readonly #records: Int32Array;

  constructor(type: RowType, columns: readonly Column[]) {
    const holders = new Map<string, Holder>();
    const holderOf = (path: readonly string[]): Holder | null => {
      if (path.length === 0) return null;
      const key = path.join('.');
      const holder = holders.get(key) ?? new Holder(holderOf(path.slice(0, -1)), path.at(-1)!);
      holders.set(key, holder);
      return holder;
    };
    const places = new Map(columns.map(({ name }, at) => [name, at]));
    this.#least = new Float64Array(columns.length);
    this.#most = new Float64Array(columns.length);
    this.#traits = new Uint8Array(columns.length);
    this.#records = new Int32Array(columns.length);
    const limited: Limited[] = [];
    this.#columns = columns.map((column, at) => {
      const bounds = boundsHere(type, column);
      if (bounds === null) return null;
      const of = bounds.of === null ? undefined : places.get(bounds.of);
      if (of !== undefined) limited.push({ at, of, slack: bounds.slack });
      const set = setterOf(column, bounds);
      const isCurrent = type === 'gpu' && (bounds.words !== null || currentNumbers.has(column.name));
      const holder = holderOf(column.path.slice(0, -1));
      this.#least[at] = bounds.least;
      this.#most[at] = bounds.most;
      this.#traits[at] =
        trait.known |
        (bounds.whole ? trait.whole : 0) |
        (bounds.mayBeNull ? trait.nullable : 0) |
        (bounds.forbidden.length > 0 ? trait.forbids : 0) |
        (isTick(type, column) ? 0 : trait.reports) |
        (isCurrent ? trait.current : 0) |
        (bounds.words === null ? 0 : trait.coded);
      return { bounds, holder, set };
    });
    this.#limited = limited;
    this.#holders = [...holders.values()];
    for (const [at, column] of this.#columns.entries())
      if (column !== null && column.holder !== null) this.#records[at] = 1 << this.#holders.indexOf(column.holder);
  }

  /**
   * Whether the cells of one row that changed (those from `begin` to `end`) can be what they are now, and have a place in its item.
   * @param missing `missingOf` that item.
   * @throws ImplausibleDelta, StreamCodecError
   */
  check(values: Float64Array, first: number, cells: ChangedCells, begin: number, end: number, missing: number): void {
    for (let i = begin; i < end; i++) {
      const at = cells.column(i);
      const traits = this.#traits[at]!;
      if ((traits & trait.known) === 0) continue;
      if ((this.#records[at]! & missing) !== 0) throw new StreamCodecError('a value of what is not there');
      const value = values[first + at]!;
      if (Number.isNaN(value)) {
        if ((traits & trait.nullable) === 0) throw new ImplausibleDelta();
        continue;
      }
      if (value < this.#least[at]! || value > this.#most[at]!) throw new ImplausibleDelta();
      if ((traits & trait.whole) !== 0 && !Number.isSafeInteger(value)) throw new ImplausibleDelta();
      if ((traits & trait.forbids) !== 0 && this.#columns[at]!.bounds.forbidden.includes(value))
        throw new ImplausibleDelta();
    }
    for (const { at, of, slack } of this.#limited)
      if (values[first + at]! > values[first + of]! + slack) throw new ImplausibleDelta();
  }

  /** The records that an item does not have, a bit for each. */
  missingOf(item: object): number {
    let missing = 0;
    for (const [i, holder] of this.#holders.entries()) if (holder.recordOf(item as Item) === null) missing |= 1 << i;
    return missing;
  }

  get width(): number {
    return this.#columns.length;
  }

  /** More than what changes by itself is different where this column is. */
  reports(at: number): boolean {
    return (this.#traits[at]! & trait.reports) !== 0;
  }

  isCurrent(at: number): boolean {
    return (this.#traits[at]! & trait.current) !== 0;
  }

  isCoded(at: number): boolean {
    return (this.#traits[at]! & trait.coded) !== 0;
  }

  /** Writes all words of a row that it has as numbers. */
  writeCodes(item: object, values: Float64Array, first: number): void {
    for (let at = 0; at < this.width; at++) if (this.isCoded(at)) this.write(item, at, values[first + at]!);
  }

  /** Writes the value of a column into the item; `close` follows. */
  write(item: object, at: number, value: number): void {
    const column = this.#columns[at]!;
    if (column === null) return;
    const { holder } = column;
    const target = holder === null ? (item as Item) : holder.open(item as Item);
    column.set(target, Number.isNaN(value) ? null : value);
  }

  /** The item is written. */
  close(): void {
    for (const holder of this.#holders) holder.close();
  }
}

/** Of a GPU; `GpuRecord.current` has them. */
const currentNumbers: ReadonlySet<string> = new Set<keyof GpuNumbers>([
  'memoryTotalBytes',
  'memoryUsedBytes',
  'memoryReservedBytes',
]);

/** A number of a row that is needed with each heartbeat, though it is not written into the record each time. */
class Figure {
  readonly #at: number;
  readonly #path: readonly string[];

  constructor(columns: readonly Column[], name: string) {
    this.#at = columns.findIndex((column) => column.name === name);
    this.#path = name.split('.');
  }

  /** `first`: where the row begins. `item`: has it where the hive has no such column. */
  of(values: Float64Array, first: number, item: object): number | null {
    if (this.#at < 0) return this.#read(item);
    const value = values[first + this.#at]!;
    return Number.isNaN(value) ? null : value;
  }

  #read(item: unknown): number | null {
    let value = item;
    for (const name of this.#path) value = (value as Item | null | undefined)?.[name];
    return (value ?? null) as number | null;
  }
}

const figureNames = {
  head: {
    cpuPercent: 'host.cpuPercent',
    memoryAvailableBytes: 'host.memoryAvailableBytes',
    load1: 'host.load1',
  },
  gpu: {
    utilizationPercent: 'utilizationPercent',
    memoryUsedBytes: 'memoryUsedBytes',
    powerWatts: 'powerWatts',
    temperatureCelsius: 'temperatureCelsius',
    unattributedBytes: 'unattributedBytes',
  },
  worker: {
    cpuPercent: 'cpuPercent',
    workingSetBytes: 'workingSetBytes',
    memoryBytes: 'memoryBytes',
    gpuUtilizationPercent: 'gpuUtilizationPercent',
    vramUsedBytes: 'vramUsedBytes',
    running: 'serving.running',
    waiting: 'serving.waiting',
    waitingTokens: 'serving.waitingTokens',
    kvPercent: 'serving.kvPercent',
    promptTokensPerSecond: 'serving.promptTokensPerSecond',
    generationTokensPerSecond: 'serving.generationTokensPerSecond',
    ageMs: 'serving.ageMs',
  },
  held: { utilizationPercent: 'utilizationPercent' },
} as const;

type FiguresOf<T extends keyof typeof figureNames> = Readonly<Record<keyof (typeof figureNames)[T], Figure>>;
export type Figures = { readonly [T in keyof typeof figureNames]: FiguresOf<T> };

const figuresOf = (schema: StreamSchema): Figures =>
  Object.fromEntries(
    Object.entries(figureNames).map(([type, names]) => [
      type,
      Object.fromEntries(
        Object.entries(names).map(([name, path]) => [name, new Figure(schema[type as keyof Figures], path)]),
      ),
    ]),
  ) as unknown as Figures;

/** The schema of a hive, with what this queen knows of each column. */
export interface StreamPlan {
  readonly schema: StreamSchema;
  /** As it travels, as JSON. */
  readonly text: string;
  readonly rows: Readonly<Record<RowType, RowPlan>>;
  readonly figures: Figures;
  /** Place of `intervalMs` in the head. */
  readonly interval: number;
}

const intervalName = 'intervalMs';

/** @throws StreamCodecError */
export function planOf(schema: StreamSchema): StreamPlan {
  const rows = Object.fromEntries(rowTypes.map((type) => [type, new RowPlan(type, schema[type])]));
  const interval = schema.head.findIndex(({ name }) => name === intervalName);
  if (interval < 0) throw new StreamCodecError(`its head has no ${intervalName}`);
  const text = JSON.stringify(sentSchema(schema));
  return { schema, text, rows: rows as unknown as StreamPlan['rows'], figures: figuresOf(schema), interval };
}
