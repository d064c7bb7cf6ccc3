/** Workers and GPUs that are compared in one chart. Pure but for what adds and removes. */
import { at, go, parseShown, type Shown } from './location.js';

export const maxCompared = 6;
export type Compared = Exclude<Shown, { kind: 'hive' }>;

/** Separates names in the address: no id has one. */
const separator = ',';

export function parseCompared(text: string): Compared[] {
  const seen = new Set<string>();
  const found: Compared[] = [];
  for (const part of text.split(separator)) {
    const shown = parseShown(part);
    if (shown === null || shown.kind === 'hive' || seen.has(part)) continue;
    seen.add(part);
    found.push(shown);
  }
  return found.slice(0, maxCompared);
}

export const comparedText = (shown: Compared): string =>
  shown.kind === 'worker' ? `worker:${shown.key}` : `gpu:${shown.hive}/${shown.uuid}`;

const set = (all: readonly Compared[]) => go({ compare: all.map(comparedText).join(separator) });

export const isCompared = (text: string): boolean => at.compare.value.split(separator).includes(text);

export function toggleCompared(text: string): void {
  const now = parseCompared(at.compare.value);
  if (isCompared(text)) set(now.filter((each) => comparedText(each) !== text));
  else set([...now, ...parseCompared(text)].slice(-maxCompared));
}

export interface Measured {
  readonly ages: readonly number[];
  readonly values: readonly (number | null)[];
}

/**
 * Series with times of their own, over `steps` equal parts of the last `seconds`: the last value of each part. A part without one
 * is a gap where a gap is longer than `bridge` parts.
 */
export function alignSeries(
  all: readonly Measured[],
  seconds: number,
  steps: number,
  bridge = 2,
): { readonly ages: readonly number[]; readonly lines: readonly (readonly (number | null)[])[] } {
  const width = seconds / steps;
  const ages = Array.from({ length: steps }, (_, step) => (step + 0.5) * width - seconds);
  const lines = all.map(({ ages: own, values }) => {
    const line = Array<number | null>(steps).fill(null);
    const isSaid = Array<boolean>(steps).fill(false);
    own.forEach((age, index) => {
      const step = Math.min(steps - 1, Math.floor((age + seconds) / width));
      if (step < 0) return;
      line[step] = values[index] ?? null;
      isSaid[step] = true;
    });
    let last = -1;
    for (let step = 0; step < steps; step++) {
      if (!isSaid[step]) continue;
      if (last >= 0 && step - last <= bridge + 1) for (let gap = last + 1; gap < step; gap++) line[gap] = line[last]!;
      last = step;
    }
    return line;
  });
  return { ages, lines };
}
