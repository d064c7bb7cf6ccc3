import { createRequire } from 'node:module';
import type { Metric, Registry, RegistryContentType } from 'prom-client';
import { Slices } from '../util/slices.js';

/** Of the library the part that writes text; the whole, with what it traces with, takes 9 MiB of a process. */
const TextRegistry = createRequire(import.meta.url)('prom-client/lib/registry.js') as typeof Registry;

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

export const contentTypes: Readonly<Record<Format, RegistryContentType>> = {
  prometheus: TextRegistry.PROMETHEUS_CONTENT_TYPE,
  openMetrics: TextRegistry.OPENMETRICS_CONTENT_TYPE,
};

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

/** Under which name prom-client finds what is written next. */
const pieceName = 'piece';
/** Samples that are written at once. */
const samplesTogether = 500;

interface WrittenSample {
  readonly value: number;
  readonly labels: LabelValues | undefined;
  readonly sharedLabels: LabelValues | undefined;
}

/**
 * Text of families in both formats. Nothing is kept between scrapes: what is gone has no series at the next one.
 * `paced`: other work gets its turn in between, for scrapes of a large fleet.
 */
export class Exposition<Scrape> {
  readonly #families: readonly Family<Scrape>[];
  readonly #paced: boolean;
  readonly #writers: Readonly<Record<Format, Registry>>;
  /** What is written next. */
  #piece: object | null = null;
  /** Scrapes that overlap follow each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(families: readonly Family<Scrape>[], options: { readonly paced?: boolean } = {}) {
    this.#families = families;
    this.#paced = options.paced ?? false;
    const writerOf = (format: Format): Registry => {
      const writer = new TextRegistry();
      (writer as Registry<RegistryContentType>).setContentType(contentTypes[format]);
      writer.registerMetric({ name: pieceName, get: () => this.#piece } as unknown as Metric);
      return writer;
    };
    this.#writers = { prometheus: writerOf('prometheus'), openMetrics: writerOf('openMetrics') };
  }

  /** `scrape`: what it sees, or what gives that once those before are done. */
  text(format: Format, scrape: Scrape | (() => Promise<Scrape>)): Promise<string> {
    const text = this.#last.then(async () =>
      this.#text(format, typeof scrape === 'function' ? await (scrape as () => Promise<Scrape>)() : scrape),
    );
    this.#last = text.catch(() => undefined);
    return text;
  }

  async #text(format: Format, scrape: Scrape): Promise<string> {
    const slices = this.#paced ? new Slices() : null;
    const texts: string[] = [];
    for (const family of this.#families) {
      const pieces: string[] = [];
      for (const samples of piecesOf(family.collect(scrape))) {
        const text = await this.#write(family, format, samples);
        // The head of a family stands before its first piece.
        pieces.push(pieces.length === 0 ? text : text.slice(text.indexOf('\n', text.indexOf('\n') + 1) + 1));
        if (slices?.isOver) await slices.rest();
      }
      texts.push(pieces.join('\n'));
    }
    return format === 'openMetrics' ? `${texts.join('\n')}\n# EOF\n` : `${texts.join('\n\n')}\n`;
  }

  /** By what prom-client asks of a metric, without its store of hashed labels. */
  #write(
    { name: full, type, help }: Family<Scrape>,
    format: Format,
    values: readonly WrittenSample[],
  ): Promise<string> {
    // prom-client writes the suffix of counters itself in OpenMetrics.
    const name = format === 'openMetrics' && type === 'counter' ? full.replace(/_total$/, '') : full;
    this.#piece = { name, help, type, values, aggregator: 'sum' };
    // It is asked for before this returns.
    return this.#writers[format].getSingleMetricAsString(pieceName);
  }
}

/** At least one piece. */
function* piecesOf(samples: Iterable<MetricSample>): Generator<readonly WrittenSample[], void> {
  let piece: WrittenSample[] = [];
  let isFirst = true;
  for (const { value, labels, shared } of samples) {
    if (piece.length === samplesTogether) {
      yield piece;
      piece = [];
      isFirst = false;
    }
    piece.push({ value, labels, sharedLabels: shared });
  }
  if (isFirst || piece.length > 0) yield piece;
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

/** Samples of a set of states: 1 for the one that holds, 0 for the others. */
export function stateSet<State extends string>(
  states: readonly State[],
  label: string,
  now: string,
  shared?: LabelValues,
): MetricSample[] {
  return states.map((state) => ({
    value: state === now ? 1 : 0,
    labels: { [label]: state },
    ...(shared && { shared }),
  }));
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
