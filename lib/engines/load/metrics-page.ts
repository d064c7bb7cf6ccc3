import { isAscii } from 'node:buffer';

/** One sample of a family. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Labels of a sample. Pages of one server repeat them, so that each is taken apart once. */
class Labels {
  /** As it stands between the braces, still escaped. */
  readonly #text: string;
  readonly #values = new Map<string, string | null>();

  constructor(text: string) {
    this.#text = text;
  }

  /** Whether it is short, and each character is its own byte. */
  get isPlain(): boolean {
    return this.#text.length <= maxKeptLabels && isAscii(Buffer.from(this.#text));
  }

  /** null where there is none of this name. */
  valueOf(name: string): string | null {
    let value = this.#values.get(name);
    if (value === undefined) {
      value = labelIn(this.#text, name);
      this.#values.set(name, value);
    }
    return value;
  }

  /** Of plain ones: where the closing brace stands, where the same labels begin at `from`; else -1. */
  endAt(bytes: Buffer, from: number): number {
    const { length } = this.#text;
    if (bytes[from + length] !== close) return -1;
    for (let i = 0; i < length; i += 1) if (this.#text.charCodeAt(i) !== bytes[from + i]) return -1;
    return from + length;
  }
}

const newline = 0x0a;
const blank = 0x20;
const tab = 0x09;
const quote = 0x22;
const backslash = 0x5c;
const open = 0x7b;
const close = 0x7d;
const zero = 0x30;
const point = 0x2e;

/** Longer lines are none of an engine's. */
const maxLineBytes = 16_384;
/** An engine has a sample for each rank, model and reason of a family; what has more is none. */
const maxSamples = 4096;
/** So many samples of a family have labels that are kept for the next page, of so many characters at most. */
const keptSamples = 64;
const maxKeptLabels = 512;

/** A family that a page lacks is looked for on each tenth page, and where the page has grown by a line of it. */
const skippedPages = 9;
/** Counters before it have become shorter by no more than this. */
const slackBytes = 512;
/** Lines of one group before its first sample that is asked for: buckets. */
const maxLinesBefore = 64;

/** Where a family stood. */
interface Place {
  /** Its name, behind the end of a line. */
  readonly needle: Buffer;
  /** Bytes of the needle with which all lines of its group begin: members of a histogram take turns. */
  readonly groupBytes: number;
  /** Of its samples on the page before. */
  readonly labels: Labels[];
  /** Where its first sample began; -1: on no page yet. */
  at: number;
  /** Of the page on which it was looked for last, and of how many pages it was not since. */
  pageBytes: number;
  skipped: number;
}

/** How the pages of one server are laid out: each is much like the one before, so what is wanted is looked for there first. */
export class PageLayout {
  readonly #places = new Map<string, Place>();

  placeOf(family: string): Place {
    let place = this.#places.get(family);
    if (place === undefined) {
      const groupBytes = 1 + family.replace(/_(?:bucket|count|sum)$/, '').length;
      const needle = Buffer.from(`\n${family}`);
      place = { needle, groupBytes, labels: [], at: -1, pageBytes: -Infinity, skipped: 0 };
      this.#places.set(family, place);
    }
    return place;
  }
}

/**
 * A page of the Prometheus text format, of which only the families that are asked for are read: each is searched for by its
 * name at the beginning of a line, which costs less than to look at each line once. All samples of a family stand together,
 * as the format has it. Whatever is no sample is skipped; no page takes more than linear time for each family. Families that
 * the pages before had are found on every page; one that is new may be found some pages late.
 */
export class MetricsPage {
  readonly #bytes: Buffer;
  readonly #layout: PageLayout;
  /** How far the family found last stands from where it stood before: what is behind it has moved as much. */
  #shift = 0;

  constructor(bytes: Buffer, layout = new PageLayout()) {
    this.#bytes = unquoted(bytes);
    this.#layout = layout;
  }

  /** Samples of the family by exactly this name whose values are finite. */
  samples(family: string): readonly Sample[] {
    const place = this.#layout.placeOf(family);
    const found: Sample[] = [];
    for (let at = this.#find(place); at >= 0 && found.length < maxSamples; ) {
      const end = this.#endOfLine(at);
      const sample = this.#sampleOf(place, found.length, at + family.length, end);
      if (sample !== null) found.push(sample);
      at = this.#next(place, end + 1);
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

  /** Where its first sample begins; -1 where it has none. */
  #find(place: Place): number {
    const { length } = this.#bytes;
    if (place.at < 0 && place.skipped < skippedPages && length < place.pageBytes + place.needle.length) {
      place.skipped += 1;
      return -1;
    }
    const near = place.at < 0 ? -1 : this.#near(place, place.at + this.#shift);
    const at = near < 0 ? this.#search(place, 0) : near;
    if (place.at >= 0 && at >= 0) this.#shift = at - place.at;
    Object.assign(place, { at, pageBytes: length, skipped: 0 });
    return at;
  }

  /** Its first sample, where that stands about as far as expected. */
  #near(place: Place, expected: number): number {
    if (this.#isFirst(place, expected)) return expected;
    const at = this.#search(place, Math.max(0, expected - slackBytes));
    return at >= 0 && this.#isFirst(place, at) ? at : -1;
  }

  /** Whether no line of its group before this one is a sample of it too. */
  #isFirst(place: Place, at: number): boolean {
    if (!this.#isSample(place, at)) return false;
    let line = at;
    for (let walked = 0; walked < maxLinesBefore; walked += 1) {
      if (line === 0) return true;
      line = line === 1 ? 0 : this.#bytes.lastIndexOf(newline, line - 2) + 1;
      if (!this.#beginsWith(place, place.groupBytes, line)) return true;
      if (this.#isSample(place, line)) return false;
    }
    return false;
  }

  /** The next sample in the group of which a line begins at `from`. */
  #next(place: Place, from: number): number {
    for (let at = from; this.#beginsWith(place, place.groupBytes, at); at = this.#endOfLine(at) + 1)
      if (this.#isSample(place, at)) return at;
    return -1;
  }

  #search(place: Place, from: number): number {
    if (from === 0 && this.#isSample(place, 0)) return 0;
    const { needle } = place;
    let at = this.#bytes.indexOf(needle, from);
    while (at >= 0 && !this.#isWhole(at + needle.length)) at = this.#bytes.indexOf(needle, at + needle.length);
    return at < 0 ? -1 : at + 1;
  }

  #isSample(place: Place, at: number): boolean {
    const { length } = place.needle;
    return this.#beginsWith(place, length, at) && this.#isWhole(at + length - 1);
  }

  /** Whether a line begins at `at`, and that as the needle does. */
  #beginsWith({ needle }: Place, length: number, at: number): boolean {
    const bytes = this.#bytes;
    if (at < 0 || (at > 0 && bytes[at - 1] !== newline)) return false;
    for (let i = 1; i < length; i += 1) if (needle[i] !== bytes[at + i - 1]) return false;
    return true;
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

  #sampleOf({ labels: kept }: Place, i: number, from: number, end: number): Sample | null {
    if (end - from > maxLineBytes) return null;
    const bytes = this.#bytes;
    let at = from;
    while (bytes[at] === blank || bytes[at] === tab) at += 1;
    let labels = noLabels;
    if (bytes[at] === open) {
      const before = kept[i];
      let last = before?.endAt(bytes, at + 1) ?? -1;
      if (before !== undefined && last >= 0) labels = before;
      else {
        last = endOfLabels(bytes, at + 1, end);
        if (last < 0) return null;
        labels = new Labels(bytes.toString('utf8', at + 1, last));
        if (i < keptSamples && labels.isPlain) kept[i] = labels;
      }
      at = last + 1;
    }
    const value = numberIn(bytes, at, end);
    return Number.isFinite(value) ? { labels, value } : null;
  }
}

const numeric = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
/** So many digits are exact whatever they are. */
const exactDigits = 15;

/** NaN where there is none. Most are whole, which takes no text. */
function numberIn(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (bytes[at] === blank || bytes[at] === tab) at += 1;
  const first = at;
  let whole = 0;
  for (let digit = (bytes[at] ?? 0) - zero; digit >= 0 && digit <= 9 && at < end; digit = (bytes[at] ?? 0) - zero) {
    whole = whole * 10 + digit;
    at += 1;
  }
  const digits = at - first;
  if (bytes[at] === point && bytes[at + 1] === zero) at += 2;
  if (digits > 0 && digits <= exactDigits && at === end) return whole;
  // Behind the value there may be a time.
  const [text] = bytes.toString('latin1', from, end).trim().split(/[ \t]/, 1);
  return text === undefined || !numeric.test(text) ? Number.NaN : Number(text);
}

const noLabels = new Labels('');

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
export const labelOf = ({ labels }: Sample, name: string): string | null => labels.valueOf(name);

function labelIn(labels: string, name: string): string | null {
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
