import type { ChangedCells } from './cells.js';
import { type Column, rowTypes, type StreamSchema } from './columns.js';
import type { NumericState } from './state.js';

/** Bytes that are no message of a stream. */
export class StreamCodecError extends Error {}

const fail = (what: string): never => {
  throw new StreamCodecError(what);
};

/** First byte of a binary message. */
export const messageTypes = { keyframe: 1, delta: 2 } as const;

/** A whole heartbeat as JSON. */
export interface Keyframe {
  /** Rises with each keyframe of a connection; what follows names it. */
  readonly epoch: number;
  readonly encoding: 'gzip' | null;
  readonly body: Buffer;
}

/** What changed since the message before. */
export interface DeltaHeader {
  readonly epoch: number;
  /** 1, 2, 3... since the keyframe. */
  readonly index: number;
  readonly seq: number;
  readonly wantsAck: boolean;
  /** Of all numbers once this message is applied; null: not given. */
  readonly checksum: number | null;
  /** JSON of what is no number; null: none of it changed. */
  readonly text: Buffer | null;
  /** No heartbeat, but what engines say of their load since the one with this `seq`. */
  readonly isLoad?: boolean;
}

const flags = { gzip: 1, wantsAck: 1, text: 2, checksum: 4, load: 8 } as const;
const deltaFlags = flags.wantsAck | flags.text | flags.checksum | flags.load;

/** Scaled values up to this are whole numbers whose differences and zigzags are exact. */
const maxScaled = 2 ** 50;

/** A value as a whole number; NaN where it is none in that scale. */
function scaled(value: number, scale: number): number {
  if (scale === 1) return Math.floor(value) === value && value <= maxScaled && value >= -maxScaled ? value : Number.NaN;
  const whole = Math.round(value * scale);
  return whole <= maxScaled && whole >= -maxScaled && whole / scale === value ? whole : Number.NaN;
}

/** How a value is written: null, eight bytes as they are, or (2 and up) the difference to the value before. */
const token = { null: 0, raw: 1, difference: 2 } as const;

class Writer {
  #bytes = Buffer.allocUnsafe(1024);
  #at = 0;

  byte(value: number): void {
    this.#grow(1);
    this.#bytes[this.#at++] = value;
  }

  varint(value: number): void {
    this.#grow(8);
    let rest = value;
    for (; rest > 0x7f_ff_ff_ff; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 128;
    for (; rest > 127; rest >>>= 7) this.#bytes[this.#at++] = (rest & 127) | 128;
    this.#bytes[this.#at++] = rest;
  }

  double(value: number): void {
    this.#grow(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  uint32(value: number): void {
    this.#grow(4);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  bytes(more: Buffer): void {
    this.#grow(more.length);
    this.#at += more.copy(this.#bytes, this.#at);
  }

  /** Room for a mask of so many bits, all 0; gives where it stands. */
  mask(bits: number): number {
    const count = Math.ceil(bits / 8);
    this.#grow(count);
    const mask = this.#at;
    while (this.#at < mask + count) this.#bytes[this.#at++] = 0;
    return mask;
  }

  setBit(mask: number, bit: number): void {
    this.#bytes[mask + (bit >> 3)]! |= 1 << (bit & 7);
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  #grow(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#at + count));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Reads within its bytes: what would lie beyond them is a `StreamCodecError`. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  varint(): number {
    const first = this.byte();
    if (first < 128) return first;
    let value = first & 127;
    let factor = 128;
    for (let i = 1; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value <= Number.MAX_SAFE_INTEGER ? value : fail('a number is too large');
      factor *= 128;
    }
    return fail('a number does not end');
  }

  double(): number {
    const value = this.#bytes.readDoubleLE(this.#take(8));
    return Number.isFinite(value) ? value + 0 : fail('a value is no number');
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** Where a mask of so many bits stands; those behind them are 0. */
  mask(bits: number): number {
    const count = Math.ceil(bits / 8);
    const at = this.#take(count);
    if ((bits & 7) !== 0 && this.#bytes[at + count - 1]! >> (bits & 7) !== 0) fail('a mask is too long');
    return at;
  }

  /** The eight bits of a mask from a multiple of eight on. */
  bits(mask: number, from: number): number {
    return this.#bytes[mask + (from >> 3)]!;
  }

  bytes(count: number): Buffer {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) fail('bytes are left over');
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) fail('it ends too early');
    this.#at = at + count;
    return at;
  }
}

export function encodeKeyframe({ epoch, encoding, body }: Keyframe): Buffer {
  const out = new Writer();
  out.byte(messageTypes.keyframe);
  out.byte(encoding === 'gzip' ? flags.gzip : 0);
  out.varint(epoch);
  out.bytes(body);
  return out.done();
}

/** @throws StreamCodecError */
export function decodeKeyframe(message: Buffer): Keyframe {
  const input = new Reader(message);
  if (input.byte() !== messageTypes.keyframe) fail('it is no keyframe');
  const given = input.byte();
  if ((given & ~flags.gzip) !== 0) fail('it has unknown flags');
  const epoch = input.varint();
  return { epoch, encoding: given === 0 ? null : 'gzip', body: input.rest() };
}

const differs = (a: number, b: number): boolean => a !== b && (!Number.isNaN(a) || !Number.isNaN(b));

/**
 * What differs between two states with the same rows. Most values do not, and halves of doubles are compared as whole numbers:
 * to read a double costs an allocation in all code but the most optimized.
 */
class Differences {
  readonly #before: NumericState;
  readonly #after: NumericState;
  readonly #beforeHalves: Int32Array;
  readonly #afterHalves: Int32Array;

  constructor(before: NumericState, after: NumericState) {
    this.#before = before;
    this.#after = after;
    this.#beforeHalves = halvesOf(before);
    this.#afterHalves = halvesOf(after);
  }

  isAt(place: number): boolean {
    const a = this.#beforeHalves;
    const b = this.#afterHalves;
    const at = 2 * place;
    if (a[at] === b[at] && a[at + 1] === b[at + 1]) return false;
    return differs(this.#before.values[place]!, this.#after.values[place]!);
  }

  isInRow(row: number): boolean {
    const first = this.#before.offsetOf(row);
    const end = first + this.#before.columnsOf(row).length;
    for (let place = first; place < end; place++) if (this.isAt(place)) return true;
    return false;
  }
}

const halvesOf = ({ values }: NumericState): Int32Array =>
  new Int32Array(values.buffer, values.byteOffset, 2 * values.length);

/** One row that has changed: which of its values, and those. */
function encodeRow(out: Writer, before: NumericState, after: NumericState, row: number, changes: Differences): void {
  const columns = before.columnsOf(row);
  const first = before.offsetOf(row);
  const mask = out.mask(columns.length);
  for (let i = 0; i < columns.length; i++) {
    if (!changes.isAt(first + i)) continue;
    const former = before.values[first + i]!;
    const value = after.values[first + i]!;
    out.setBit(mask, i);
    if (Number.isNaN(value)) {
      out.varint(token.null);
      continue;
    }
    const { scale } = columns[i]!;
    const whole = scaled(value, scale);
    if (Number.isNaN(whole)) {
      out.varint(token.raw);
      out.double(value);
      continue;
    }
    const difference = whole - (scaled(former, scale) || 0);
    out.varint(token.difference + (difference < 0 ? -2 * difference - 1 : 2 * difference));
  }
}

/** `isText`: rows that are in the text, so not among the numbers. Both states have the same rows. */
export function encodeDelta(
  header: DeltaHeader,
  before: NumericState,
  after: NumericState,
  isText: (row: number) => boolean = () => false,
): Buffer {
  const { epoch, index, seq, wantsAck, checksum, text, isLoad = false } = header;
  const out = new Writer();
  out.byte(messageTypes.delta);
  out.byte(
    (wantsAck ? flags.wantsAck : 0) |
      (text === null ? 0 : flags.text) |
      (checksum === null ? 0 : flags.checksum) |
      (isLoad ? flags.load : 0),
  );
  out.varint(epoch);
  out.varint(index);
  out.varint(seq);
  if (checksum !== null) out.uint32(checksum);
  const changes = new Differences(before, after);
  const rows: number[] = [];
  for (let row = 0; row < before.rowCount; row++) if (!isText(row) && changes.isInRow(row)) rows.push(row);
  out.varint(rows.length);
  let next = 0;
  for (const row of rows) {
    out.varint(row - next);
    next = row + 1;
    encodeRow(out, before, after, row, changes);
  }
  if (text !== null) out.bytes(text);
  return out.done();
}

/** Zigzags up to this are differences by integer arithmetic: most are, and each heartbeat of a fleet has a hundred. */
const maxSmall = 2 ** 30;
const smallDifference = (zigzag: number): number => (zigzag >>> 1) ^ -(zigzag & 1);
const difference = (zigzag: number): number => (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);

function decodeValue(input: Reader, before: number, scale: number): number {
  const read = input.varint();
  if (read === token.null) return Number.NaN;
  if (read === token.raw) return input.double();
  const zigzag = read - token.difference;
  const whole = (scaled(before, scale) || 0) + (zigzag <= maxSmall ? smallDifference(zigzag) : difference(zigzag));
  if (whole > maxScaled || whole < -maxScaled) fail('a value is too large');
  return scale === 1 ? whole : whole / scale;
}

function decodeRow(input: Reader, state: NumericState, row: number, changed: ChangedCells): void {
  const columns = state.columnsOf(row);
  const { values } = state;
  const first = state.offsetOf(row);
  const mask = input.mask(columns.length);
  for (let at = 0; at < columns.length; at += 8) {
    for (let bits = input.bits(mask, at); bits !== 0; bits &= bits - 1) {
      const column = at + (31 - Math.clz32(bits & -bits));
      const before = values[first + column]!;
      const value = decodeValue(input, before, columns[column]!.scale);
      if (!differs(before, value)) continue;
      values[first + column] = value;
      changed.add(row, column, before);
    }
  }
}

/**
 * A delta in two steps: first its header, so that one that does not follow what is known changes nothing; then `apply`,
 * which writes its numbers into a state. Where that throws, `changed` holds what was written until then.
 */
export class DeltaReader {
  readonly epoch: number;
  readonly index: number;
  readonly seq: number;
  readonly wantsAck: boolean;
  readonly checksum: number | null;
  readonly isLoad: boolean;
  readonly #input: Reader;
  readonly hasText: boolean;

  /** @throws StreamCodecError */
  constructor(message: Buffer) {
    const input = new Reader(message);
    if (input.byte() !== messageTypes.delta) fail('it is no delta');
    const given = input.byte();
    if ((given & ~deltaFlags) !== 0) fail('it has unknown flags');
    this.epoch = input.varint();
    this.index = input.varint();
    this.seq = input.varint();
    this.wantsAck = (given & flags.wantsAck) !== 0;
    this.checksum = (given & flags.checksum) === 0 ? null : input.uint32();
    this.isLoad = (given & flags.load) !== 0;
    this.hasText = (given & flags.text) !== 0;
    if (this.isLoad && (given & (flags.wantsAck | flags.text)) !== 0) fail('it is no load');
    this.#input = input;
  }

  /** Gives its text; `changed` holds the cells that are different from then on. @throws StreamCodecError */
  apply(state: NumericState, changed: ChangedCells): Buffer | null {
    const input = this.#input;
    changed.clear();
    const rows = input.varint();
    if (rows > state.rowCount) fail('it has more rows than there are');
    let next = 0;
    for (let i = 0; i < rows; i++) {
      const row = next + input.varint();
      if (row >= state.rowCount) fail('there is no such row');
      decodeRow(input, state, row, changed);
      next = row + 1;
    }
    if (this.hasText) return input.rest();
    input.end();
    return null;
  }
}

/** As it travels: names, each with its scale or its words. */
export type SentSchema = Readonly<
  Record<(typeof rowTypes)[number], readonly (readonly [string, number | readonly string[]])[]>
>;

export const sentSchema = (schema: StreamSchema): SentSchema =>
  Object.fromEntries(
    rowTypes.map((type) => [type, schema[type].map(({ name, scale, words }) => [name, words ?? scale])]),
  ) as unknown as SentSchema;

const maxColumns = 256;
const namePattern = /^[A-Za-z][A-Za-z0-9]{0,63}(?:\.[A-Za-z][A-Za-z0-9]{0,63}){0,3}$/;

const maxWords = 64;
const wordPattern = /^[A-Za-z][A-Za-z0-9]{0,63}$/;

/** @throws StreamCodecError */
function kindOf(kind: unknown): Pick<Column, 'scale' | 'words'> {
  if (!Array.isArray(kind)) {
    if (typeof kind !== 'number' || !Number.isInteger(kind) || kind < 1 || kind > 1e6)
      return fail('a scale is malformed');
    return { scale: kind };
  }
  const areWords = kind.every((word) => typeof word === 'string' && wordPattern.test(word));
  if (!areWords || kind.length === 0 || kind.length > maxWords || new Set(kind).size < kind.length)
    return fail('words are malformed');
  return { scale: 1, words: kind as readonly string[] };
}

/** @throws StreamCodecError */
export function readSchema(sent: unknown): StreamSchema {
  if (typeof sent !== 'object' || sent === null) return fail('it has no schema');
  return Object.fromEntries(
    rowTypes.map((type) => {
      const columns = (sent as Partial<Record<string, unknown>>)[type];
      if (!Array.isArray(columns) || columns.length > maxColumns) return fail(`its ${type} has no columns`);
      const names = new Set<string>();
      return [
        type,
        columns.map((column: unknown) => {
          if (!Array.isArray(column) || column.length !== 2) return fail('a column is malformed');
          const [name, kind] = column as readonly unknown[];
          if (typeof name !== 'string' || !namePattern.test(name) || names.has(name))
            return fail('a name is malformed');
          names.add(name);
          return { name, path: name.split('.'), ...kindOf(kind) };
        }),
      ];
    }),
  ) as unknown as StreamSchema;
}
