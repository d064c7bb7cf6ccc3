import { Slices } from '../util/slices.js';

export type LabelValues = Readonly<Record<string, string | number>>;

/** One sample. `shared` are labels that many families give alike: written once, so the same object should be given. */
export interface MetricSample {
  readonly value: number;
  readonly labels?: LabelValues;
  readonly shared?: LabelValues;
}

/** All samples of one name, made from what one scrape sees. A value that is not known has no sample. */
export interface Family<Scrape> {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** Names of the labels, for the documentation; samples are checked against it by a test. */
  readonly labels: readonly string[];
  readonly collect: (scrape: Scrape) => Iterable<MetricSample>;
}

export type Format = 'prometheus' | 'openMetrics';

export const contentTypes = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openMetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
} as const satisfies Readonly<Record<Format, string>>;

/** The format that an Accept header likes best; the older one where it has no wish. */
export function negotiate(accept: string | undefined): Format {
  let [open, plain] = [0, 0];
  for (const part of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const q = Number(parameters.find((each) => each.startsWith('q='))?.slice(2) ?? 1);
    const weight = Number.isFinite(q) ? q : 0;
    if (type === 'application/openmetrics-text') open = Math.max(open, weight);
    if (type === 'text/plain' || type === 'text/*') plain = Math.max(plain, weight);
  }
  return open > 0 && open >= plain ? 'openMetrics' : 'prometheus';
}

/** A piece of the text that is written at once: neither held up for long, nor many of them. */
const pieceChars = 64 * 1024;

const escapeText = (text: string): string => text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
const escapeLabel = (text: string): string => (/[\\\n"]/.test(text) ? escapeText(text).replaceAll('"', '\\"') : text);

function valueText(value: number): string {
  if (Number.isFinite(value)) return `${value}`;
  return Number.isNaN(value) ? 'NaN' : value < 0 ? '-Inf' : '+Inf';
}

/** `a="1",b="2"`, without those names that `shared` has too. */
function labelsText(labels: LabelValues, shared?: LabelValues): string {
  let text = '';
  for (const name in labels) {
    if (shared !== undefined && Object.hasOwn(shared, name)) continue;
    const value = labels[name]!;
    text += `${text === '' ? '' : ','}${name}="${typeof value === 'string' ? escapeLabel(value) : value}"`;
  }
  return text;
}

/** Texts of label objects that many samples share. An object is never changed once it was given. */
const sharedTexts = new WeakMap<LabelValues, string>();
function sharedText(labels: LabelValues): string {
  let text = sharedTexts.get(labels);
  if (text === undefined) {
    text = labelsText(labels);
    sharedTexts.set(labels, text);
  }
  return text;
}

/** Labels that stand beside those of many items, which have none of the same name: their text is made once. */
export function constantLabels(labels: LabelValues): LabelValues {
  sharedText(labels);
  return labels;
}

const ownText = (labels: LabelValues, shared: LabelValues | undefined): string =>
  sharedTexts.get(labels) ?? labelsText(labels, shared);

function lineOf(name: string, { value, labels, shared }: MetricSample): string {
  const own = labels === undefined ? '' : ownText(labels, shared);
  const others = shared === undefined ? '' : sharedText(shared);
  const both = own !== '' && others !== '' ? `${own},${others}` : own + others;
  return both === '' ? `${name} ${valueText(value)}\n` : `${name}{${both}} ${valueText(value)}\n`;
}

/**
 * Text of families in both formats. Nothing is kept between scrapes: what is gone has no series at the next one.
 * `paced`: other work gets its turn in between, for scrapes of a large fleet.
 */
export class Exposition<Scrape> {
  readonly #families: readonly Family<Scrape>[];
  readonly #paced: boolean;
  /** Scrapes that overlap follow each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(families: readonly Family<Scrape>[], options: { readonly paced?: boolean } = {}) {
    this.#families = families;
    this.#paced = options.paced ?? false;
  }

  async text(format: Format, scrape: Scrape | (() => Promise<Scrape>)): Promise<string> {
    return (await this.#parts(format, scrape, String)).join('');
  }

  /** The text as bytes: that of a large fleet is some megabytes. `scrape`: what it sees, or what gives that once those before are done. */
  pieces(format: Format, scrape: Scrape | (() => Promise<Scrape>)): Promise<readonly Buffer[]> {
    return this.#parts(format, scrape, (text) => Buffer.from(text));
  }

  #parts<T>(
    format: Format,
    scrape: Scrape | (() => Promise<Scrape>),
    partOf: (text: string) => T,
  ): Promise<readonly T[]> {
    const parts = this.#last.then(async () =>
      this.#write(format, typeof scrape === 'function' ? await (scrape as () => Promise<Scrape>)() : scrape, partOf),
    );
    this.#last = parts.catch(() => undefined);
    return parts;
  }

  async #write<T>(format: Format, scrape: Scrape, partOf: (text: string) => T): Promise<readonly T[]> {
    const slices = this.#paced ? new Slices() : null;
    const parts: T[] = [];
    let text = '';
    for (const [i, { name, type, help, collect }] of this.#families.entries()) {
      // OpenMetrics names a counter without the suffix of its samples.
      const isBare = format === 'openMetrics' && type === 'counter';
      const head = isBare ? name.replace(/_total$/, '') : name;
      const sample = isBare ? `${head}_total` : name;
      if (i > 0 && format === 'prometheus') text += '\n';
      text += `# HELP ${head} ${escapeText(help)}\n# TYPE ${head} ${type}\n`;
      for (const each of collect(scrape)) {
        text += lineOf(sample, each);
        if (text.length < pieceChars) continue;
        parts.push(partOf(text));
        text = '';
        if (slices?.isOver) await slices.rest();
      }
    }
    parts.push(partOf(format === 'openMetrics' ? `${text}# EOF\n` : text));
    return parts;
  }
}

/** Gauge or counter of one value without labels. */
export function single<Scrape>(
  type: Family<Scrape>['type'],
  name: string,
  help: string,
  value: (scrape: Scrape) => number | null | undefined,
): Family<Scrape> {
  return {
    name,
    type,
    help,
    labels: [],
    collect: (scrape) => {
      const known = value(scrape);
      return known === null || known === undefined ? [] : [{ value: known }];
    },
  };
}

/** A family with at most one sample for each of some items, whose labels are the item's own. */
export function each<Scrape, Item>(
  items: (scrape: Scrape) => Iterable<{ readonly item: Item; readonly labels: LabelValues }>,
  labels: readonly string[],
): (
  type: Family<Scrape>['type'],
  name: string,
  help: string,
  value: (item: Item, scrape: Scrape) => number | null | undefined,
) => Family<Scrape> {
  return (type, name, help, value) => ({
    name,
    type,
    help,
    labels,
    *collect(scrape) {
      for (const { item, labels: shared } of items(scrape)) {
        const known = value(item, scrape);
        if (known !== null && known !== undefined && !Number.isNaN(known)) yield { value: known, shared };
      }
    },
  });
}

const labelsOfStates = new Map<string, LabelValues>();
/** The same object for a label and a value of an enumeration. */
function stateLabels(label: string, state: string): LabelValues {
  const key = `${label}=${state}`;
  let labels = labelsOfStates.get(key);
  if (labels === undefined) {
    labels = constantLabels({ [label]: state });
    labelsOfStates.set(key, labels);
  }
  return labels;
}

/** Samples of a set of states: 1 for the one that holds, 0 for the others. */
export function stateSet<State extends string>(
  states: readonly State[],
  label: string,
  now: string,
  shared?: LabelValues,
): MetricSample[] {
  return states.map((state) => {
    const value = state === now ? 1 : 0;
    const labels = stateLabels(label, state);
    return shared === undefined ? { value, labels } : { value, labels, shared };
  });
}

/** Labels without those that are not known. */
export const knownLabels = (labels: Readonly<Record<string, string | number | null | undefined>>): LabelValues =>
  Object.fromEntries(Object.entries(labels).filter(([, value]) => value != null)) as LabelValues;

export const ratio = (percent: number | null): number | null => (percent === null ? null : percent / 100);
export const flag = (value: boolean | null): number | null => (value === null ? null : Number(value));
export const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
export const epoch = (time: string | null): number | null => {
  const ms = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(ms) ? null : ms / 1000;
};
