/**
 * Parsers of cgroup v2 and /proc text, on bytes, without making strings. native/cgroup_parse.h is the same in C++; the
 * parity suite compares both.
 *
 * Text is `bytes[0 .. end)`. A value that is not there stays as it is (NaN). Each parser returns false when a value that it
 * looks for is there but is no number (a torn or foreign file); what else the file says is still taken. Unknown keys are
 * ignored: kernels add some anywhere, also in the middle.
 */

const newline = 0x0a;
const space = 0x20;
const point = 0x2e;
const zero = 0x30;
const equals = 0x3d;
const bracket = 0x29;

const maxUnsigned = 2n ** 64n - 1n;

/** An unsigned decimal up to 2^64 - 1, rounded to the nearest double. Anything else is NaN. */
export function parseUnsigned(bytes: Buffer, start: number, end: number): number {
  if (end <= start) return Number.NaN;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] as number) - zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  // Up to 15 digits every step above was exact.
  if (end - start <= 15) return value;
  const exact = BigInt(bytes.toString('latin1', start, end));
  return exact > maxUnsigned ? Number.NaN : Number(exact);
}

/** A decimal fraction of at most 15 digits (`12.34`). Anything else is NaN. */
export function parseDecimal(bytes: Buffer, start: number, end: number): number {
  if (end <= start || end - start > 16) return Number.NaN;
  let digits = 0;
  let count = 0;
  let scale = 1;
  let pointed = false;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte === point && !pointed && count > 0) {
      pointed = true;
      continue;
    }
    const digit = byte - zero;
    if (digit < 0 || digit > 9 || ++count > 15) return Number.NaN;
    digits = digits * 10 + digit;
    if (pointed) scale *= 10;
  }
  // Both are exact, so the quotient is the nearest double to the text.
  return bytes[end - 1] === point ? Number.NaN : digits / scale;
}

/** A key of a keyed file, and the column its value goes to. */
export interface KeyedField {
  readonly key: Buffer;
  readonly column: number;
}

export const keyed = (key: string, column: number): KeyedField => ({ key: Buffer.from(key, 'latin1'), column });

/** Position of `byte` in `[start, end)`, or `end`. */
function find(bytes: Buffer, byte: number, start: number, end: number): number {
  let i = start;
  while (i < end && bytes[i] !== byte) i++;
  return i;
}

function same(bytes: Buffer, start: number, end: number, word: Buffer): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word[i]) return false;
  return true;
}

function store(out: Float64Array, at: number, value: number): boolean {
  out[at] = value;
  return !Number.isNaN(value);
}

/**
 * `key value` lines (cpu.stat, memory.stat, memory.events, cgroup.events, /proc/<pid>/io); at most 31 fields. Values go to
 * `out[base + column]`. Of a repeated key the first counts, and nothing is read beyond the last key looked for.
 */
export function parseKeyed(
  bytes: Buffer,
  end: number,
  fields: readonly KeyedField[],
  out: Float64Array,
  base: number,
): boolean {
  let clean = true;
  let missing = 2 ** fields.length - 1;
  let expected = 0;
  for (let start = 0; start < end && missing !== 0; ) {
    let keyEnd = start;
    while (keyEnd < end && bytes[keyEnd] !== space && bytes[keyEnd] !== newline) keyEnd++;
    const lineEnd = find(bytes, newline, keyEnd, end);
    // Kernels keep the order, so the field after the last one found is the likeliest.
    for (let tried = 0; tried < fields.length; tried++) {
      const i = (expected + tried) % fields.length;
      const field = fields[i] as KeyedField;
      if (!same(bytes, start, keyEnd, field.key)) continue;
      if (missing & (1 << i)) {
        missing &= ~(1 << i);
        if (!store(out, base + field.column, parseUnsigned(bytes, keyEnd + 1, lineEnd))) clean = false;
      }
      expected = i + 1;
      break;
    }
    start = lineEnd + 1;
  }
  return clean;
}

const withoutNewline = (bytes: Buffer, end: number) => (end > 0 && bytes[end - 1] === newline ? end - 1 : end);

/** A file of one number (memory.current, memory.peak, pids.current). */
export function parseSingle(bytes: Buffer, end: number, out: Float64Array, at: number): boolean {
  return store(out, at, parseUnsigned(bytes, 0, withoutNewline(bytes, end)));
}

const max = Buffer.from('max');

function parseMaxOr(bytes: Buffer, start: number, end: number): number {
  return same(bytes, start, end, max) ? Number.POSITIVE_INFINITY : parseUnsigned(bytes, start, end);
}

/** A file of one number or `max` (memory.max); `max` is infinity. */
export function parseLimit(bytes: Buffer, end: number, out: Float64Array, at: number): boolean {
  return store(out, at, parseMaxOr(bytes, 0, withoutNewline(bytes, end)));
}

/** cpu.max: `<quota|max> <period>`. */
export function parseCpuMax(bytes: Buffer, end: number, out: Float64Array, quota: number, period: number): boolean {
  const last = withoutNewline(bytes, end);
  const quotaEnd = find(bytes, space, 0, last);
  const quotaClean = store(out, quota, parseMaxOr(bytes, 0, quotaEnd));
  return store(out, period, parseUnsigned(bytes, quotaEnd + 1, last)) && quotaClean;
}

const some = Buffer.from('some');
const avg10Key = Buffer.from('avg10');
const totalKey = Buffer.from('total');

/** The first `some` line of a pressure file. */
export function parsePressure(bytes: Buffer, end: number, out: Float64Array, avg10: number, total: number): boolean {
  for (let start = 0; start < end; ) {
    const lineEnd = find(bytes, newline, start, end);
    let at = find(bytes, space, start, lineEnd);
    if (same(bytes, start, at, some)) {
      let clean = true;
      for (at++; at < lineEnd; ) {
        const wordEnd = find(bytes, space, at, lineEnd);
        const keyEnd = find(bytes, equals, at, wordEnd);
        if (same(bytes, at, keyEnd, avg10Key)) {
          if (!store(out, avg10, parseDecimal(bytes, keyEnd + 1, wordEnd))) clean = false;
        } else if (same(bytes, at, keyEnd, totalKey)) {
          if (!store(out, total, parseUnsigned(bytes, keyEnd + 1, wordEnd))) clean = false;
        }
        at = wordEnd + 1;
      }
      return clean;
    }
    start = lineEnd + 1;
  }
  return true;
}

const ioKeys = ['rbytes', 'wbytes', 'rios', 'wios'].map((key) => Buffer.from(key));
const colon = 0x3a;
const deviceDigits = 7;
const deviceEnd = 2 ** 20;

/** `major:minor` in `bytes[start .. end)` as major * 2^20 + minor; -1 where it is none. */
export function parseDevice(bytes: Buffer, start: number, end: number): number {
  const at = find(bytes, colon, start, end);
  if (at === end || at - start > deviceDigits || end - at - 1 > deviceDigits) return -1;
  const major = parseUnsigned(bytes, start, at);
  const minor = parseUnsigned(bytes, at + 1, end);
  return major < deviceEnd && minor < deviceEnd ? major * deviceEnd + minor : -1;
}

/** Numbers of the devices on top of each block device, by its number. */
export type IoStacks = ReadonlyMap<number, readonly number[]>;

/** Counters of one line of io.stat; `left out`: it has none; `bad`: one of them is no number. */
interface IoLine {
  readonly device: number;
  readonly values: readonly number[];
}

/** Which counter the word is, or -1. */
const ioCounter = (bytes: Buffer, start: number, keyEnd: number): number =>
  ioKeys.findIndex((key) => same(bytes, start, keyEnd, key));

function parseIoLine(bytes: Buffer, start: number, lineEnd: number): IoLine | 'left out' | 'bad' {
  let word = find(bytes, space, start, lineEnd);
  let device = parseDevice(bytes, start, word);
  if (device < 0) return 'left out';
  const values = [Number.NaN, Number.NaN, Number.NaN, Number.NaN];
  let counted = false;
  for (word += 1; word < lineEnd; ) {
    const wordEnd = find(bytes, space, word, lineEnd);
    const keyEnd = find(bytes, equals, word, wordEnd);
    const counter = keyEnd < wordEnd ? ioCounter(bytes, word, keyEnd) : -1;
    if (counter >= 0) {
      counted = true;
      values[counter] = parseUnsigned(bytes, keyEnd + 1, wordEnd);
      if (Number.isNaN(values[counter])) return 'bad';
    } else if (keyEnd === wordEnd && !counted) {
      // Some kernels print several devices in one line before the one that has counters.
      const next = parseDevice(bytes, word, wordEnd);
      if (next >= 0) device = next;
    }
    word = wordEnd + 1;
  }
  return counted ? { device, values } : 'left out';
}

/** The first device that the stacks do not have, or NaN. */
const unknownDevice = (lines: readonly IoLine[], stacks: IoStacks | null): number =>
  (stacks && lines.find(({ device }) => !stacks.has(device))?.device) ?? Number.NaN;

/**
 * io.stat, summed over devices, to `out[at]` (read bytes, written bytes, reads, writes), `out[at + 4]` (devices that have
 * counters) and `out[at + 5]` (a device of which it is not known what is on top of it, where that leaves the sums unknown).
 * An empty file is 0 (nothing was ever read or written). A line counts where it begins with `major:minor`; one with a
 * counter that is no number is left out. A device without counters (`252:0 `, printed by some kernels, even without a
 * newline) is left out; when only such ones are there the sums are NaN. A counter that one of the counted devices lacks is
 * NaN: a sum without it would rewind the series.
 *
 * With `stacks` a device is left out where one on top of it has counters, since all I/O of that one comes by here again. Of
 * several devices, each has to be known.
 */
export function parseIoStat(
  bytes: Buffer,
  end: number,
  out: Float64Array,
  at: number,
  stacks: IoStacks | null = null,
): boolean {
  const lines: IoLine[] = [];
  let clean = true;
  for (let start = 0; start < end; ) {
    const lineEnd = find(bytes, newline, start, end);
    const line = parseIoLine(bytes, start, lineEnd);
    if (typeof line === 'object') lines.push(line);
    else if (line === 'bad') clean = false;
    start = lineEnd + 1;
  }
  const sums = [0, 0, 0, 0];
  const unknown = lines.length > 1 ? unknownDevice(lines, stacks) : Number.NaN;
  for (const { device, values } of lines) {
    const above = lines.length > 1 ? (stacks?.get(device) ?? []) : [];
    if (above.some((top) => lines.some((line) => line.device === top))) continue;
    for (let i = 0; i < 4; i++) sums[i] = (sums[i] as number) + (values[i] as number);
  }
  const known = (end === 0 || lines.length > 0) && Number.isNaN(unknown);
  for (let i = 0; i < 4; i++) out[at + i] = known ? (sums[i] as number) : Number.NaN;
  out[at + 4] = lines.length;
  out[at + 5] = unknown;
  return clean;
}

/**
 * cgroup.procs: writes the pids in the file's order to `pids`, which must hold `end / 2 + 1`. Processes outside our pid
 * namespace show as 0 and are left out. Returns their number, as ~number (negative) when some line was no pid.
 */
export function parsePids(bytes: Buffer, end: number, pids: Uint32Array): number {
  let clean = true;
  let count = 0;
  for (let start = 0; start < end; ) {
    const lineEnd = find(bytes, newline, start, end);
    const pid = parseUnsigned(bytes, start, lineEnd);
    if (pid >= 1 && pid <= 0x7fffffff) pids[count++] = pid;
    else if (pid !== 0) clean = false;
    start = lineEnd + 1;
  }
  return clean ? count : ~count;
}

/** End of the word that starts at `start`: a space, a newline or `end`. */
function wordEnd(bytes: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && bytes[i] !== space && bytes[i] !== newline) i++;
  return i;
}

/**
 * Field 22 of /proc/<pid>/stat, clock ticks since boot. The name in field 2 may hold anything, also `) R 1`: only the last
 * `)` ends it.
 */
export function parseStartTicks(bytes: Buffer, end: number): number {
  let at = end - 1;
  while (at >= 0 && bytes[at] !== bracket) at--;
  if (at < 0 || at + 2 > end) return Number.NaN;
  at += 2;
  const fieldsBetween = 19; // fields 3 (state) to 21
  for (let i = 0; i < fieldsBetween; i++) at = Math.min(find(bytes, space, at, end) + 1, end);
  return parseUnsigned(bytes, at, wordEnd(bytes, at, end));
}

/** Field 2 of /proc/<pid>/statm, in pages. */
export function parseResidentPages(bytes: Buffer, end: number): number {
  const at = Math.min(find(bytes, space, 0, end) + 1, end);
  return parseUnsigned(bytes, at, wordEnd(bytes, at, end));
}
