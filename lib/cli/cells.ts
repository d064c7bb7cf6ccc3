/** What tables and details draw in a cell: a status, a value, a bar. Pure. */
import type { HiveView } from '../contract/api.js';
import type { AbsenceText } from '../present/knowledge.js';
import { ansiOf, type StatusStyle, type Tone } from '../present/status.js';
import { formatPercent, unknownText } from '../present/units.js';
import { type Span, span } from './table.js';

export const statusSpan = ({ symbol, word, tone }: StatusStyle): Span => span(`${symbol} ${word}`, ansiOf[tone]);

/** A value, or the sign for one that is not known, which is grey. */
export const value = (text: string, tone?: Tone): Span =>
  text === unknownText ? span(text, ansiOf.unknown) : span(text, tone ? ansiOf[tone] : undefined);

export function fraction(used: number | null, total: number | null): number | null {
  return used === null || total === null || total <= 0 ? null : Math.min(1, used / total);
}

/** Tone of something that is worse the fuller it is. */
export function loadTone(fraction: number | null, warnAt = 0.9, badAt = 0.97): Tone | undefined {
  if (fraction === null) return undefined;
  return fraction >= badAt ? 'bad' : fraction >= warnAt ? 'warning' : undefined;
}

const eighths = ['', '\u258f', '\u258e', '\u258d', '\u258c', '\u258b', '\u258a', '\u2589'] as const;

/** A bar of `width` columns in steps of an eighth of one; an unknown share is a dashed line, never an empty bar. */
export function bar(fraction: number | null, width: number, tone: Tone = 'active'): Span[] {
  if (width < 1) return [];
  if (fraction === null) return [span('\u254c'.repeat(width), ansiOf.unknown)];
  const steps = Math.round(Math.max(0, Math.min(1, fraction)) * width * 8);
  // Something is not nothing: a share above zero shows at least its thinnest sign.
  const shown = steps === 0 && fraction > 0 ? 1 : steps;
  const filled = '\u2588'.repeat(Math.floor(shown / 8)) + (eighths[shown % 8] ?? '');
  const used = Math.ceil(shown / 8);
  return [span(filled, ansiOf[tone]), span('\u00b7'.repeat(width - used), '2')];
}

/** A bar with its value behind it; where there is no room for a bar, the value alone. */
export function gauge(fraction: number | null, text: string, width: number, tone?: Tone): Span[] {
  const room = Number.isFinite(width) ? width - text.length - 1 : 0;
  if (room < 4) return [value(text, tone)];
  return [...bar(fraction, room, tone ?? 'active'), span(' '), value(text, tone)];
}

export const padded = (text: string, width: number): string => text.padStart(width);

/** The worst of the three, with its letter: what the host or worker waits for most. */
export function worstPressure({
  cpu,
  memory,
  io,
}: HiveView['host']['pressure']): { what: string; percent: number } | null {
  const known = [
    { what: 'cpu', percent: cpu },
    { what: 'mem', percent: memory },
    { what: 'io', percent: io },
  ].filter((entry): entry is { what: string; percent: number } => entry.percent !== null);
  return known.sort((a, b) => b.percent - a.percent)[0] ?? null;
}

export function pressureCell(pressure: HiveView['host']['pressure']): Span[] {
  const worst = worstPressure(pressure);
  if (!worst) return [value(unknownText)];
  const tone: Tone | undefined = worst.percent >= 40 ? 'bad' : worst.percent >= 10 ? 'warning' : undefined;
  return [value(worst.percent < 0.05 ? '0 %' : `${worst.what} ${formatPercent(worst.percent)}`, tone)];
}

/** Why there is nothing to show. */
export const absenceSpan = ({ text, unknown }: AbsenceText): Span =>
  span(text, ansiOf[unknown ? 'warning' : 'unknown']);
