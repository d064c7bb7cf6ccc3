import {
  defaultPlace,
  type FieldTable,
  type MetricOfField,
  readerOf,
  rowsOf,
  type Scale,
} from '../contract/fields/field.js';
import { epoch, type Family, flag, type LabelValues, type MetricSample, ratio } from './exposition.js';

type Item = Readonly<Record<string, unknown>>;
type Labelled = { readonly item: Item; readonly labels: LabelValues };

/** A family and its place among those of the same kind of item. */
export interface PlacedFamily<Scrape> {
  readonly place: number;
  readonly family: Family<Scrape>;
}

const scales: Readonly<Record<Scale, (value: never) => number | null>> = {
  ratio,
  flag,
  epoch,
  megahertz: (value: number | null) => (value === null ? null : value * 1e6),
  milliseconds: (value: number | null) => (value === null ? null : value / 1000),
};

/** The number of a value; null where there is no sample, since it is not known. */
function scaler(scale: Scale | undefined): (value: unknown) => number | null {
  const convert = scale === undefined ? null : scales[scale];
  return (value) => {
    if (value === null || value === undefined) return null;
    const number = convert === null ? (value as number) : convert(value as never);
    return Number.isNaN(number) ? null : number;
  };
}

/** Gives the samples of one field of many items. */
function collector(name: string, metric: MetricOfField): (items: Iterable<Labelled>) => Iterable<MetricSample> {
  const { label, part, unlessEmpty } = metric;
  const scaled = scaler(metric.scale);
  const read = readerOf(name);
  const isLeftOut = (item: Item) => unlessEmpty !== undefined && (item[unlessEmpty] as readonly unknown[]).length === 0;
  if (label === undefined)
    return function* (items) {
      for (const { item, labels } of items) {
        if (isLeftOut(item)) continue;
        const value = scaled(part === undefined ? read(item) : (item[name] as Item | null)?.[part]);
        if (value !== null) yield { value, shared: labels };
      }
    };
  return function* (items) {
    for (const { item, labels } of items) {
      const values = item[name];
      const entries = Array.isArray(values)
        ? [...new Set(values)].map((each) => [each, 1])
        : Object.entries((values ?? {}) as Item);
      for (const [key, entry] of entries) {
        const value = scaled(entry);
        if (value !== null) yield { value, labels: { [label]: key }, shared: labels };
      }
    }
  };
}

/**
 * The families that the rows of a table name for one side, with `others` among them by their place.
 * @param items what one scrape sees, each with its own labels, whose names are `labels`
 */
export function familiesOf<Scrape>(
  table: FieldTable,
  side: 'hive' | 'fleet',
  items: (scrape: Scrape) => Iterable<{ readonly item: object; readonly labels: LabelValues }>,
  labels: readonly string[],
  others: readonly PlacedFamily<Scrape>[] = [],
): readonly Family<Scrape>[] {
  const placed = rowsOf(table).flatMap(({ name, field }): PlacedFamily<Scrape>[] =>
    [field[side] ?? []].flat().map((metric) => {
      const collect = collector(name, metric);
      return {
        place: metric.place ?? defaultPlace,
        family: {
          name: metric.name,
          type: metric.type ?? 'gauge',
          help: metric.help,
          labels: metric.label === undefined ? labels : [...labels, metric.label],
          collect: (scrape) => collect(items(scrape) as Iterable<Labelled>),
        },
      };
    }),
  );
  return [...placed, ...others].sort((a, b) => a.place - b.place).map(({ family }) => family);
}
