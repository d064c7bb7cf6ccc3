/** One sample of a family. */
export interface Sample {
  /** As it stands between the braces, still escaped; '' where there are none. */
  readonly labels: string;
  readonly value: number;
}

const newline = 0x0a;
const blank = 0x20;
const tab = 0x09;
const quote = 0x22;
const backslash = 0x5c;
const open = 0x7b;
const close = 0x7d;

/** Longer lines are none of an engine's. */
const maxLineBytes = 16_384;
/** An engine has a sample for each rank, model and reason of a family; what has more is none. */
const maxSamples = 4096;

const needles = new Map<string, Buffer>();
function needleOf(family: string): Buffer {
  let needle = needles.get(family);
  if (needle === undefined) {
    needle = Buffer.from(`\n${family}`);
    needles.set(family, needle);
  }
  return needle;
}

/**
 * A page of the Prometheus text format, of which only the families that are asked for are read: each is searched for by its
 * name at the beginning of a line, which costs less than to look at each line once. All samples of a family stand together,
 * as the format has it. Whatever is no sample is skipped; no page takes more than linear time for each family.
 */
export class MetricsPage {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = unquoted(bytes);
  }

  /** Samples of the family by exactly this name whose values are finite. */
  samples(family: string): readonly Sample[] {
    const found: Sample[] = [];
    let at = this.#first(family);
    while (at >= 0 && found.length < maxSamples) {
      const end = this.#endOfLine(at);
      const sample = this.#sampleOf(at + family.length, end);
      if (sample !== null) found.push(sample);
      at = this.#next(family, end);
    }
    return found;
  }

  /** Samples of the first of these families that has some. A counter may be called with `_total` or without. */
  firstOf(...families: readonly string[]): readonly Sample[] {
    for (const family of families) {
      const found = this.samples(family);
      if (found.length > 0) return found;
    }
    return [];
  }

  #first(family: string): number {
    const bytes = this.#bytes;
    if (
      bytes.length > family.length &&
      bytes.toString('latin1', 0, family.length) === family &&
      this.#isWhole(family.length)
    )
      return 0;
    return this.#search(family, 0);
  }

  /** The line behind `end` where it is of the family too; else none, since what is one family stands together. */
  #next(family: string, end: number): number {
    const at = end + 1;
    const behind = at + family.length;
    if (behind >= this.#bytes.length) return -1;
    if (this.#bytes.toString('latin1', at, behind) !== family) return -1;
    return this.#isWhole(behind) ? at : this.#search(family, end);
  }

  #search(family: string, from: number): number {
    const needle = needleOf(family);
    let at = this.#bytes.indexOf(needle, from);
    while (at >= 0 && !this.#isWhole(at + needle.length)) at = this.#bytes.indexOf(needle, at + needle.length);
    return at < 0 ? -1 : at + 1;
  }

  /** The name ends here: `x` is no sample of `x_total`. */
  #isWhole(at: number): boolean {
    const byte = this.#bytes[at];
    return byte === open || byte === blank || byte === tab;
  }

  #endOfLine(from: number): number {
    const end = this.#bytes.indexOf(newline, from);
    return end < 0 ? this.#bytes.length : end;
  }

  #sampleOf(from: number, end: number): Sample | null {
    if (end - from > maxLineBytes) return null;
    const bytes = this.#bytes;
    let at = from;
    while (bytes[at] === blank || bytes[at] === tab) at += 1;
    let labels = '';
    if (bytes[at] === open) {
      const last = endOfLabels(bytes, at + 1, end);
      if (last < 0) return null;
      labels = bytes.toString('utf8', at + 1, last);
      at = last + 1;
    }
    // Behind the value there may be a time.
    const [text] = bytes.toString('latin1', at, end).trim().split(/[ \t]/, 1);
    const value = text === undefined || !numeric.test(text) ? Number.NaN : Number(text);
    return Number.isFinite(value) ? { labels, value } : null;
  }
}

const numeric = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

/** The closing brace that stands in no quotes; -1 where there is none. */
function endOfLabels(bytes: Buffer, from: number, end: number): number {
  let quoted = false;
  for (let at = from; at < end; at += 1) {
    const byte = bytes[at];
    if (quoted && byte === backslash) at += 1;
    else if (byte === quote) quoted = !quoted;
    else if (byte === close && !quoted) return at;
  }
  return -1;
}

/** One build of llama-server gave its page as one JSON string. */
function unquoted(bytes: Buffer): Buffer {
  if (bytes[0] !== quote) return bytes;
  try {
    const text: unknown = JSON.parse(bytes.toString());
    return typeof text === 'string' ? Buffer.from(text) : bytes;
  } catch {
    return bytes;
  }
}

const escapes: Readonly<Record<string, string>> = { n: '\n', '"': '"', '\\': '\\' };

/** The value of a label; null where the sample has none of this name. */
export function labelOf({ labels }: Sample, name: string): string | null {
  if (!labels.includes(name)) return null;
  for (let at = 0; at < labels.length; ) {
    const equals = labels.indexOf('=', at);
    const first = equals < 0 ? -1 : labels.indexOf('"', equals);
    if (first < 0) return null;
    let last = first + 1;
    while (last < labels.length && labels[last] !== '"') last += labels[last] === '\\' ? 2 : 1;
    const key = labels.slice(at, equals).trim();
    if (key === name && last < labels.length)
      return labels.slice(first + 1, last).replace(/\\(.)/gs, (_, char: string) => escapes[char] ?? `\\${char}`);
    at = last + 1;
    while (labels[at] === ',' || labels[at] === ' ') at += 1;
  }
  return null;
}

/** null where there is no sample. */
export const sumOf = (samples: readonly Sample[]): number | null =>
  samples.length === 0 ? null : samples.reduce((sum, { value }) => sum + value, 0);

export const mostOf = (samples: readonly Sample[]): number | null =>
  samples.length === 0 ? null : samples.reduce((most, { value }) => Math.max(most, value), Number.NEGATIVE_INFINITY);

export const withLabel = (samples: readonly Sample[], name: string, value: string): readonly Sample[] =>
  samples.filter((sample) => labelOf(sample, name) === value);
