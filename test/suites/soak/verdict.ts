/** Pure: what a run's figures mean. */
export interface Sample {
  /** Seconds since the start. */
  readonly at: number;
  readonly rssMiB: number;
  readonly descriptors: number;
  /** Life of the queen: rises with each restart. */
  readonly life: number;
}

export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
}

/** Slope by least squares, per minute. */
export function slopePerMinute(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const n = samples.length;
  if (n < 2) return 0;
  const meanX = samples.reduce((sum, { at }) => sum + at, 0) / n;
  const meanY = samples.reduce((sum, sample) => sum + of(sample), 0) / n;
  let above = 0;
  let below = 0;
  for (const sample of samples) {
    above += (sample.at - meanX) * (of(sample) - meanY);
    below += (sample.at - meanX) ** 2;
  }
  return below === 0 ? 0 : (above / below) * 60;
}

/** Samples of the queen's last life without its first third, in which caches and rings fill. */
export function settled(samples: readonly Sample[]): readonly Sample[] {
  const life = Math.max(...samples.map((sample) => sample.life));
  const last = samples.filter((sample) => sample.life === life);
  return last.slice(Math.floor(last.length / 3));
}

/** Growth from the first to the last third of what is settled, by medians: a single collection of garbage is no slope. */
export function growth(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const third = Math.floor(samples.length / 3);
  if (third === 0) return 0;
  return percentile(samples.slice(-third).map(of), 0.5) - percentile(samples.slice(0, third).map(of), 0.5);
}
