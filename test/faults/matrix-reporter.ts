import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** What one row of the matrix came to. */
interface Row {
  passed: number;
  failed: number;
  skipped: number;
  slowestMs: number;
}

/** The fault that a test is about: its title up to the colon. */
const faultOf = (test: TestCase): string => test.name.split(':')[0]!.trim();

/** Prints the fault matrix at the end, a line per fault. */
export class MatrixReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = new Map<string, Row>();
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const row = rows.get(faultOf(test)) ?? { passed: 0, failed: 0, skipped: 0, slowestMs: 0 };
        rows.set(faultOf(test), row);
        const { state } = test.result();
        if (state === 'passed' || state === 'failed') row[state] += 1;
        else row.skipped += 1;
        row.slowestMs = Math.max(row.slowestMs, test.diagnostic()?.duration ?? 0);
      }
    }
    const width = Math.max(5, ...[...rows.keys()].map((name) => name.length));
    console.log(`\n${'fault'.padEnd(width)}  outcome   tests  longest`);
    for (const [name, { passed, failed, skipped, slowestMs }] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const outcome = failed > 0 ? 'FAILED' : passed > 0 ? 'survived' : 'skipped';
      const tests = `${passed}/${passed + failed}${skipped > 0 ? ` (+${skipped} skipped)` : ''}`;
      console.log(
        `${name.padEnd(width)}  ${outcome.padEnd(8)}  ${tests.padStart(5)}  ${(slowestMs / 1000).toFixed(1).padStart(5)} s`,
      );
    }
  }
}
