import type { Tone } from '../../present/status.js';

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

export interface Share {
  readonly label: string;
  readonly symbol: string;
  readonly tone: Tone;
  readonly count: number;
}

/** Parts of a whole, with a legend that says each in words. */
export function Shares({ parts }: { readonly parts: readonly Share[] }) {
  const total = parts.reduce((sum, part) => sum + part.count, 0);
  const some = parts.filter((part) => part.count > 0);
  return (
    <>
      <span class="shares" aria-hidden="true">
        {some.map((part) => (
          <span
            key={part.label}
            class={`tone-${part.tone}${part.tone === 'unknown' ? ' hatched' : ' fill'}`}
            style={{ width: `${(part.count / total) * 100}%` }}
          />
        ))}
      </span>
      <span class="legend">
        {some.map((part) => (
          <span key={part.label} class={`tone-${part.tone}`}>
            <span class="symbol" aria-hidden="true">
              {part.symbol}
            </span>
            {part.count.toLocaleString('en')} {part.label}
          </span>
        ))}
      </span>
    </>
  );
}
