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

export const contentTypes: Readonly<Record<Format, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openMetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
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

/** A piece of the text that is written at once: neither held up for long, nor many of them. */
const pieceChars = 64 * 1024;

const escapeText = (text: string): string => text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
const escapeLabel = (text: string): string => (/[\\\n"]/.test(text) ? escapeText(text).replace(/"/g, '\\"') : text);

function valueText(value: number): string {
  if (Number.isFinite(value)) return `${value}`;
  return Number.isNaN(value) ? 'NaN' : value < 0 ? '-Inf' : '+Inf';
}

/** `a="1",b="2"`, without those names that `but` has. */
function labelsText(labels: LabelValues, but?: LabelValues): string {
  let text = '';
  for (const name in labels) {
    if (but !== undefined && Object.hasOwn(but, name)) continue;
    const value = labels[name]!;
    text += `${text === '' ? '' : ','}${name}="${typeof value === 'string' ? escapeLabel(value) : value}"`;
  }
  return text;
}

/** The text of samples; labels that many of one scrape share are written once. */
class SampleWriter {
  readonly #shared = new Map<LabelValues, string>();

  line(name: string, { value, labels, shared }: MetricSample): string {
    const own = labels === undefined ? '' : labelsText(labels, shared);
    const others = shared === undefined ? '' : this.#sharedText(shared);
    const both = own !== '' && others !== '' ? `${own},${others}` : own + others;
    return both === '' ? `${name} ${valueText(value)}\n` : `${name}{${both}} ${valueText(value)}\n`;
  }

  #sharedText(shared: LabelValues): string {
    let text = this.#shared.get(shared);
    if (text === undefined) {
      text = labelsText(shared);
      this.#shared.set(shared, text);
    }
    return text;
  }
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
    return Buffer.concat(await this.pieces(format, scrape)).toString();
  }

  /** The text as bytes: that of a large fleet is some megabytes. `scrape`: what it sees, or what gives that once those before are done. */
  pieces(format: Format, scrape: Scrape | (() => Promise<Scrape>)): Promise<readonly Buffer[]> {
    const pieces = this.#last.then(async () =>
      this.#pieces(format, typeof scrape === 'function' ? await (scrape as () => Promise<Scrape>)() : scrape),
    );
    this.#last = pieces.catch(() => undefined);
    return pieces;
  }

  async #pieces(format: Format, scrape: Scrape): Promise<readonly Buffer[]> {
    const slices = this.#paced ? new Slices() : null;
    const writer = new SampleWriter();
    const pieces: Buffer[] = [];
    let text = '';
    for (const [i, { name, type, help, collect }] of this.#families.entries()) {
      // OpenMetrics names a counter without the suffix of its samples.
      const isBare = format === 'openMetrics' && type === 'counter';
      const head = isBare ? name.replace(/_total$/, '') : name;
      const sample = isBare ? `${head}_total` : name;
      if (i > 0 && format === 'prometheus') text += '\n';
      text += `# HELP ${head} ${escapeText(help)}\n# TYPE ${head} ${type}\n`;
      for (const each of collect(scrape)) {
        text += writer.line(sample, each);
        if (text.length < pieceChars) continue;
        pieces.push(Buffer.from(text));
        text = '';
        if (slices?.isOver) await slices.rest();
      }
    }
    pieces.push(Buffer.from(format === 'openMetrics' ? `${text}# EOF\n` : text));
    return pieces;
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
