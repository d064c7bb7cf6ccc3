/** One number that a benchmark gives. */
export interface Metric {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it should be at most or at least; null where it is only reported. */
  readonly target: number | null;
  readonly better: 'lower' | 'higher';
  /** Of a ratio: what it is measured against, in the same run. */
  readonly ratioTo?: string;
  readonly pass: boolean;
}

export interface BenchContext {
  /** Prints a line of progress. */
  log(line: string): void;
  /** Runs when the suite ends, also when it throws or the run is interrupted; last registered first. */
  defer(work: () => void | Promise<void>): void;
  /** Whether this row was asked for: by its name, by its suite's, or by none. */
  readonly wants: (row: string) => boolean;
  /** Another checkout, built, to be compared with; null: none. */
  readonly against: string | null;
}

/** What each `*.bench.ts` exports as `run`. */
export type BenchRun = (context: BenchContext) => Promise<readonly Metric[]>;

/** A `*.bench.ts`. The names of its metrics begin with one of its rows. */
export interface Suite {
  readonly rows: readonly string[];
  readonly run: BenchRun;
}

/** What `bench/results/latest.json` holds. */
export interface Results {
  readonly commit: string;
  readonly node: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cpuCount: number;
  /** Of the last minute, before the first suite and after the last: what else the machine did, and this run itself. */
  readonly load1: readonly [before: number, after: number];
  readonly when: string;
  /** By `<suite>/<name>`. */
  readonly metrics: Readonly<Record<string, Omit<Metric, 'name'>>>;
}

interface Goal {
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly ratioTo?: string;
}

/** A metric judged against its target; without one it passes. */
export function metric(name: string, value: number, unit: string, goal: Goal = {}): Metric {
  const { atMost, atLeast, ratioTo } = goal;
  const target = atMost ?? atLeast ?? null;
  const pass = atMost !== undefined ? value <= atMost : atLeast !== undefined ? value >= atLeast : true;
  const better = atLeast !== undefined ? 'higher' : 'lower';
  return { name, value, unit, target, better, ...(ratioTo === undefined ? {} : { ratioTo }), pass };
}

const number = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

export function formatMetrics(metrics: readonly Metric[]): string {
  const rows = metrics.map(({ name, value, unit, target, better, ratioTo, pass }) => [
    target === null ? ' ' : pass ? '✓' : '✗',
    name,
    `${number(value)} ${unit}${ratioTo ? ` ${ratioTo}` : ''}`,
    target === null ? '' : `${better === 'lower' ? '<=' : '>='} ${number(target)}${pass ? '' : '  MISSED'}`,
  ]);
  const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => (row[i] as string).length)));
  return rows.map((row) => `  ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd()).join('\n');
}

/** Lower median. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;
}
