import type { FormatName } from '../contract/fields/field.js';
import { formatMoment } from './moment.js';
import {
  formatAge,
  formatBytes,
  formatCelsius,
  formatCores,
  formatDuration,
  formatGib,
  formatGibOf,
  formatPercent,
  formatPerSecond,
  formatRate,
  formatWatts,
  unknownText,
} from './units.js';

type Format = (value: never, of: number | null) => string;

const formats: Readonly<Record<FormatName, Format>> = {
  age: formatAge,
  bytes: formatBytes,
  celsius: formatCelsius,
  cores: formatCores,
  count: String,
  duration: formatDuration,
  fixed2: (value: number) => value.toFixed(2),
  gib: formatGib,
  gibOf: formatGibOf,
  list: (values: readonly string[]) => values.join(', '),
  sentences: (values: readonly string[]) => `${values.join('. ')}.`,
  localTime: formatMoment,
  megahertz: (value: number) => `${value} MHz`,
  percent: formatPercent,
  perSecond: formatPerSecond,
  rate: formatRate,
  text: String,
  watts: formatWatts,
};

/** A value as its row in the table of fields says; `of`: what it is a share of, for formats that write both. */
export function formatField(format: FormatName | undefined, value: unknown, of: number | null = null): string {
  if (value === null || value === undefined) return format === 'gibOf' ? formatGibOf(null, of) : unknownText;
  return formats[format ?? 'text'](value as never, of);
}
