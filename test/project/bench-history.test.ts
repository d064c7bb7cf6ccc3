import { describe, expect, test } from 'vitest';

interface Run {
  readonly commit: string;
  readonly cpu: string;
  readonly cpuCount: number;
  readonly metrics: Readonly<
    Record<string, { readonly value: number; readonly unit: string; readonly better: string }>
  >;
}
interface Row {
  readonly name: string;
  readonly usual: number | null;
  readonly runs: number;
  readonly change: number | null;
}
const { addRun, compareRuns, historyTable } = (await import(
  new URL('../../bench/history.js', import.meta.url).href
)) as {
  readonly addRun: (lines: readonly string[], run: Run) => readonly Run[];
  readonly compareRuns: (runs: readonly Run[]) => readonly Row[];
  readonly historyTable: (rows: readonly Row[]) => string;
};

const run = (commit: string, value: number, cpu = 'x'): Run => ({
  commit,
  cpu,
  cpuCount: 2,
  metrics: { 'tick/cpu': { value, unit: 'ms', better: 'lower' } },
});

describe('the history of benchmarks', () => {
  test('addRun: a commit that is measured again counts once, a torn line costs only itself', () => {
    const lines = [JSON.stringify(run('a', 1)), '{"commit":"b","me', JSON.stringify(run('c', 3)), ''];
    expect(addRun(lines, run('a', 2)).map(({ commit }) => commit)).toEqual(['c', 'a']);
  });

  test('addRun: the oldest are dropped', () => {
    const lines = Array.from({ length: 600 }, (_, i) => JSON.stringify(run(`c${i}`, i)));
    const runs = addRun(lines, run('new', 1));
    expect(runs).toHaveLength(500);
    expect(runs.at(-1)?.commit).toBe('new');
  });

  test('compareRuns: against the median of like machines, not a mean that one bad run moves', () => {
    const runs = [run('a', 10), run('b', 1000), run('c', 12), run('d', 1, 'another CPU'), run('e', 6)];
    expect(compareRuns(runs)).toMatchObject([{ name: 'tick/cpu', usual: 12, runs: 3, change: -50 }]);
    expect(historyTable(compareRuns(runs))).toContain('| tick/cpu | 6 | ms | 12 | 3 | -50 % |');
  });

  test('compareRuns: the first run and a new metric have nothing to compare with', () => {
    expect(compareRuns([run('a', 10)])).toMatchObject([{ usual: null, runs: 0, change: null }]);
  });
});
