import type { ComponentChildren } from 'preact';
import type { StatusStyle, Tone } from '../../present/status.js';

interface MeterProps {
  /** null: not known, drawn hatched. */
  readonly value: number | null;
  readonly max: number | null;
  readonly tone?: Tone;
  readonly class?: string;
}

/** A bar. It repeats a number that stands beside it, so it is hidden from screen readers. */
export function Meter({ value, max, tone = 'active', class: extra = '' }: MeterProps) {
  const known = value !== null && max !== null && max > 0;
  return (
    <span class={`meter tone-${known ? tone : 'unknown'} ${known ? '' : 'hatched'} ${extra}`} aria-hidden="true">
      {known && <span class="fill" style={{ width: `${Math.min(100, (value / max) * 100).toFixed(1)}%` }} />}
    </span>
  );
}

/** Memory over 95 % is worth a look, as in the alert rules; utilization that is high is not. */
export function fullness(used: number | null, total: number | null): Tone {
  if (used === null || total === null || total === 0) return 'unknown';
  return used / total > 0.95 ? 'warning' : 'active';
}

interface SharesProps<K extends string> {
  readonly styles: Readonly<Record<K, StatusStyle>>;
  readonly counts: Readonly<Partial<Record<K, number>>>;
  /** What is beside the whole, in the legend alone. */
  readonly children?: ComponentChildren;
}

/** Parts of a whole, with a legend that names each. */
export function Shares<K extends string>({ styles, counts, children }: SharesProps<K>) {
  const parts = (Object.keys(styles) as K[]).flatMap((key) => {
    const count = counts[key] ?? 0;
    return count > 0 ? [{ ...styles[key], count }] : [];
  });
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  return (
    <>
      <span class="shares" aria-hidden="true">
        {parts.map(({ word, tone, count }) => (
          <span
            key={word}
            class={`tone-${tone}${tone === 'unknown' ? ' hatched' : ' fill'}`}
            style={{ width: `${(count / total) * 100}%` }}
          />
        ))}
      </span>
      <span class="legend">
        {parts.map(({ word, symbol, tone, count }) => (
          <Sign key={word} symbol={symbol} tone={tone}>
            {count.toLocaleString('en')} {word}
          </Sign>
        ))}
        {children}
      </span>
    </>
  );
}

interface SignProps {
  readonly symbol: string;
  readonly tone: Tone;
  readonly children: ComponentChildren;
}

/** An entry of a legend. */
export const Sign = ({ symbol, tone, children }: SignProps) => (
  <span class={`tone-${tone}`}>
    <span class="symbol" aria-hidden="true">
      {symbol}
    </span>
    {children}
  </span>
);
