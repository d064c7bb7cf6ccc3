import type { Fault, Heartbeat } from '../../lib/contract/heartbeat.js';
import { getJson, type Harness } from './harness.js';
import { waitFor } from './wait.js';

/** How long a fault lasts, s: short in the suite, as long as wanted by hand. */
export const faultSeconds = Number(process.env.HIVEPULSE_FAULT_SECONDS ?? 3);

/** Longest pause between ticks, ms, and how many there were. */
export interface Ticks {
  readonly count: number;
  readonly longestMs: number;
}

/** Ticks of a hive, and beside them those of a timer in a process that does nothing else, over the same time. */
export interface Evenness {
  readonly hive: Ticks;
  readonly control: Ticks;
}

const controlCode = (intervalMs: number) =>
  `setInterval(() => process.stdout.write('tick\\n'), ${intervalMs}); process.stdout.write('tick\\n');`;

/**
 * Watches the ticks of a hive on its own event stream, beside a control timer of the same interval. A machine under load
 * delays both alike: what counts is the difference.
 */
export class CadenceWatch {
  readonly #ticks: () => readonly number[];
  readonly #controlTicks: () => readonly number[];
  readonly #chanceMs: number;
  #from = 0;

  private constructor(ticks: () => readonly number[], controlTicks: () => readonly number[], chanceMs: number) {
    this.#ticks = ticks;
    this.#controlTicks = controlTicks;
    this.#chanceMs = chanceMs;
  }

  /** `chanceMs`: what chance may add to a pause: two intervals, more where an emulated CPU compiles code for seconds. */
  static async start(
    harness: Harness,
    hiveUrl: string,
    intervalMs: number,
    { timeoutMs = 30_000, chanceMs = 2 * intervalMs } = {},
  ): Promise<CadenceWatch> {
    const stream = harness.stream(`${hiveUrl}/v1/events`);
    const control = harness.start('control timer', process.execPath, ['-e', controlCode(intervalMs)]);
    const controlTicks: number[] = [];
    control.child.stdout?.on('data', (text: string) => {
      for (const _ of text.matchAll(/tick/g)) controlTicks.push(performance.now());
    });
    const ticks = () => stream.messages.filter(({ event }) => event === 'snapshot').map(({ at }) => at);
    const watch = new CadenceWatch(ticks, () => controlTicks, chanceMs);
    await waitFor(() => ticks().length >= 3 && controlTicks.length >= 3, {
      timeoutMs,
      what: 'the first ticks of the hive and of the control timer',
    });
    watch.begin();
    return watch;
  }

  /** What is measured begins now. */
  begin(): void {
    this.#from = performance.now();
  }

  measure(): Evenness {
    const until = performance.now();
    const of = (times: readonly number[]): Ticks => {
      const inside = times.filter((at) => at >= this.#from && at <= until);
      const marks = [this.#from, ...inside, until];
      const gaps = marks.slice(1).map((at, i) => at - (marks[i] as number));
      return { count: inside.length, longestMs: Math.round(Math.max(...gaps)) };
    };
    return { hive: of(this.#ticks()), control: of(this.#controlTicks()) };
  }

  /** Why the hive's heartbeats were less even than the control timer's, or null. */
  uneven(): string | null {
    const { hive, control } = this.measure();
    const counted = `hive ${JSON.stringify(hive)}, control ${JSON.stringify(control)}`;
    if (hive.longestMs > control.longestMs + this.#chanceMs) return `a pause between heartbeats: ${counted}`;
    if (hive.count < 0.7 * control.count - 2) return `heartbeats are missing: ${counted}`;
    return null;
  }
}

/** Faults that a hive names now. */
export const faultsOf = async (hiveUrl: string): Promise<readonly Fault[]> =>
  (await getJson<Heartbeat>(`${hiveUrl}/v1/snapshot`)).faults;

/** Waits until the hive names a fault that `accept` takes, and gives it. */
export const faultNamed = (hiveUrl: string, accept: (fault: Fault) => boolean, timeoutMs = 30_000): Promise<Fault> =>
  waitFor(async () => (await faultsOf(hiveUrl)).find(accept), { timeoutMs, what: `a fault named by ${hiveUrl}` });

/** Waits until the hive names no such fault any more. */
export const faultGone = (hiveUrl: string, accept: (fault: Fault) => boolean, timeoutMs = 30_000): Promise<boolean> =>
  waitFor(async () => !(await faultsOf(hiveUrl)).some(accept), {
    timeoutMs,
    what: `the fault to be gone at ${hiveUrl}`,
  });
