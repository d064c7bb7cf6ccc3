import type { Harness } from './harness.js';
import { waitFor } from './wait.js';

const everyMs = 50;
const code = `setInterval(() => process.stdout.write('.'), ${everyMs}); process.stdout.write('.');`;

/**
 * A timer in a process that does nothing else. Where a machine is busy with other work it is late, and by how much is what a
 * claim about time may be exceeded by; on a machine that has room, by next to nothing.
 */
export class Control {
  readonly #ticks: readonly number[];

  private constructor(ticks: readonly number[]) {
    this.#ticks = ticks;
  }

  static async start(harness: Harness): Promise<Control> {
    const ticks: number[] = [];
    const timer = harness.start('control timer', process.execPath, ['-e', code]);
    timer.child.stdout?.on('data', (text: string) => {
      const now = performance.now();
      for (const _ of text) ticks.push(now);
    });
    await waitFor(() => ticks.length >= 3, { timeoutMs: 30_000, what: 'the first ticks of the control timer' });
    return new Control(ticks);
  }

  /** By how much the timer was late in all, ms, between two readings of `performance.now()`. */
  lateMs(from: number, until: number): number {
    const inside = this.#ticks.filter((at) => at > from && at < until);
    const marks = [from, ...inside, until];
    return marks.slice(1).reduce((sum, at, i) => sum + Math.max(0, at - (marks[i] as number) - everyMs), 0);
  }
}
