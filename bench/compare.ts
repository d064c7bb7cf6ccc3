/** CPU of one call in a round, µs: of this tree and of what it is compared with, which took turns. */
export interface Pair {
  readonly current: number;
  readonly base: number;
}

export interface Comparison {
  /** current / base by the least of all rounds: what else the machine does only ever adds. */
  readonly least: number;
  /** Median over the rounds of current / base: what slowly changes meets both of a round. */
  readonly paired: number;
}

/** How much slower is a regression. */
export const tolerance = 0.15;

export function compare(rounds: readonly Pair[]): Comparison {
  if (rounds.length === 0) throw new RangeError('nothing was measured');
  const least = (of: keyof Pair) => rounds.reduce((min, round) => Math.min(min, round[of]), Number.POSITIVE_INFINITY);
  const ratios = rounds.map(({ current, base }) => current / base).toSorted((a, b) => a - b);
  return { least: least('current') / least('base'), paired: ratios[(ratios.length - 1) >> 1] as number };
}

/** Both views of it must say so: noise seldom deceives both. */
export const ratioOf = ({ least, paired }: Comparison): number => Math.min(least, paired);
export const isSlower = (comparison: Comparison): boolean => ratioOf(comparison) > 1 + tolerance;

/** A count, or a ratio within this run, that has a limit of its own. */
export interface Bound {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost: number;
}

/**
 * How often the cost of the bare C loop the native reader may take before something is wrong. Its target, 1.25, is for a
 * machine that does nothing else; where others use the caches, what is larger than the loop loses more by it.
 */
export const nativeToLimit = 1.25 * (1 + tolerance);

/** Counts may grow by as much as times before they are a regression, unless their limit is a target of its own. */
export const isOver = ({ value, atMost }: Bound): boolean => !(value <= atMost);

/** A base that read, allocated or sent nothing is none to compare with. */
export function countsOver(
  current: Readonly<Record<string, number>>,
  base: Readonly<Record<string, number>>,
): readonly Bound[] {
  return Object.entries(current).flatMap(([name, value]) => {
    const before = base[name];
    if (before === undefined || before === 0) return [];
    return [{ name, value: value / before, unit: 'x base', atMost: 1 + tolerance }];
  });
}
