import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** What one row of the matrix came to. */
interface Row {
  passed: number;
  failed: number;
  skipped: number;
  slowestMs: number;
}

/**
 * The fault that a test is about: its title up to the colon. One that has many ways is told by the way as well, up to the
 * comma.
 */
export function faultOf(title: string): string {
  const [fault = '', way = ''] = title.split(':').map((part) => part.trim());
  return fault === 'queen_unreachable' ? `${fault} ${way.split(',')[0]}` : fault;
}

const isSkipped = (test: TestCase): boolean => !['passed', 'failed'].includes(test.result().state);

/** Prints the fault matrix at the end, a line per fault. `pointer`: said below it, of rows that are printed elsewhere. */
export class MatrixReporter implements Reporter {
  readonly #pointer: string | undefined;
  /** Which tests are rows; the suites of faults hold nothing else. */
  readonly #isFault: (path: string) => boolean;

  constructor(options: { readonly pointer?: string; readonly isFault?: (path: string) => boolean } = {}) {
    this.#pointer = options.pointer;
    this.#isFault = options.isFault ?? (() => true);
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = new Map<string, Row>();
    for (const module of modules) {
      if (!this.#isFault(module.moduleId)) continue;
      for (const test of module.children.allTests()) {
        const fault = faultOf(test.name);
        const row = rows.get(fault) ?? { passed: 0, failed: 0, skipped: 0, slowestMs: 0 };
        rows.set(fault, row);
        if (isSkipped(test)) row.skipped += 1;
        else row[test.result().state === 'passed' ? 'passed' : 'failed'] += 1;
        row.slowestMs = Math.max(row.slowestMs, test.diagnostic()?.duration ?? 0);
      }
    }
    if (rows.size > 0) console.log(`\n${matrixText(rows)}`);
    if (this.#pointer) console.log(`\n${this.#pointer}`);
  }
}

function matrixText(rows: ReadonlyMap<string, Row>): string {
  const width = Math.max(5, ...[...rows.keys()].map((name) => name.length));
  const lines = [`${'fault'.padEnd(width)}  outcome   tests  longest`];
  for (const [name, { passed, failed, skipped, slowestMs }] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const outcome = failed > 0 ? 'FAILED' : passed > 0 ? 'survived' : 'skipped';
    const tests = `${passed}/${passed + failed}${skipped > 0 ? ` (+${skipped} skipped)` : ''}`;
    const longest = `${(slowestMs / 1000).toFixed(1).padStart(5)} s`;
    lines.push(`${name.padEnd(width)}  ${outcome.padEnd(8)}  ${tests.padStart(5)}  ${longest}`);
  }
  return lines.join('\n');
}
