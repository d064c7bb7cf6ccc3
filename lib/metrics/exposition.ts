import { createRequire } from 'node:module';
import type { Metric, Registry, RegistryContentType } from 'prom-client';

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

/**
 * Text of families in both formats. Nothing is kept between scrapes: what is gone has no series at the next one.
 * `paced`: other work gets its turn between two families, for scrapes of a large fleet.
 */
export class Exposition<Scrape> {
  readonly #registries: Readonly<Record<Format, Registry>>;
  #current: Scrape | null = null;
  #turn: Promise<void> = Promise.resolve();

  constructor(families: readonly Family<Scrape>[], options: { readonly paced?: boolean } = {}) {
    const registryOf = (format: Format): Registry => {
      const registry = new TextRegistry();
      (registry as Registry<RegistryContentType>).setContentType(contentTypes[format]);
      for (const family of families) registry.registerMetric(this.#metric(family, format, options.paced ?? false));
      return registry;
    };
    this.#registries = { prometheus: registryOf('prometheus'), openMetrics: registryOf('openMetrics') };
  }

  async text(format: Format, scrape: Scrape): Promise<string> {
    // `metrics` asks every family before it first waits, so scrapes that overlap do not see each other's.
    this.#current = scrape;
    const text = this.#registries[format].metrics();
    this.#current = null;
    return text;
  }

  /** What prom-client asks of a metric, without its store of hashed labels. */
  #metric(family: Family<Scrape>, format: Format, paced: boolean): Metric {
    const { type, help } = family;
    // prom-client writes the suffix of counters itself in OpenMetrics.
    const name = format === 'openMetrics' && type === 'counter' ? family.name.replace(/_total$/, '') : family.name;
    const values = (scrape: Scrape) => {
      const samples: { value: number; labels: LabelValues | undefined; sharedLabels: LabelValues | undefined }[] = [];
      for (const { value, labels, shared } of family.collect(scrape))
        samples.push({ value, labels, sharedLabels: shared });
      return { name, help, type, values: samples, aggregator: 'sum' };
    };
    const get = () => {
      const scrape = this.#current as Scrape;
      if (!paced) return values(scrape);
      this.#turn = this.#turn.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
      return this.#turn.then(() => values(scrape));
    };
    return { name, get } as unknown as Metric;
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
