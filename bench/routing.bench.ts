import { fileURLToPath } from 'node:url';
import { Random } from '../test/harness/random.js';
import { type BenchContext, type BenchRun, type Metric, median, metric } from './metric.js';
import { bestTimes } from './routing/best-times.js';
import { type Fleet, fleets, lateReporting, promptReporting, scenarioOf } from './routing/fleets.js';
import { leastOutstanding, randomPick, roundRobin } from './routing/policies.js';
import { registryPolicy } from './routing/registry-policy.js';
import { type Outcome, type Policy, type Reporting, type SimulatedWorker, simulate } from './routing/simulate.js';
import { readTrace, type TracedRequest } from './routing/traffic.js';

export const rows = ['equal', 'mixed', 'foreign', 'long prompts', 'one stalled', 'one restarting', 'best'] as const;

/** The policy was tuned on seeds from 101 on; it is judged on these. */
const seeds = [1, 2, 3, 4, 5];
const traces = process.env.HIVEPULSE_TRACES ?? fileURLToPath(new URL('../../shared/traces', import.meta.url));

type Make = (workers: readonly SimulatedWorker[], seed: number) => Policy;

const others = {
  'round robin': ({ length }) => roundRobin(length),
  random: ({ length }, seed) => randomPick(length, new Random(seed)),
  'GPU utilization': (workers, seed) => registryPolicy(workers, new Random(seed), { serving: false }),
  'least outstanding, 1 router': ({ length }, seed) => leastOutstanding(length, 1, new Random(seed)),
  'least outstanding, 8 routers': ({ length }, seed) => leastOutstanding(length, 8, new Random(seed)),
  'power of two, 1 router': ({ length }, seed) => leastOutstanding(length, 1, new Random(seed), 2),
} as const satisfies Record<string, Make>;
type Other = keyof typeof others;

const ours: Make = (workers, seed) => registryPolicy(workers, new Random(seed), { serving: true });
const oursByPrefix: Make = (workers, seed) =>
  registryPolicy(workers, new Random(seed), { serving: true, prefixKeys: true });

interface Result {
  readonly p50: readonly number[];
  readonly p99: readonly number[];
  /** Of the requests sent since a heartbeat said so, the share that went to the worker with the mishap, %. */
  readonly toMishap: readonly number[];
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Of each seed, in seconds. */
function measure(fleet: Fleet, reporting: Reporting, trace: readonly TracedRequest[] | null, make: Make): Result {
  const outcomes = seeds.map(
    (seed): Outcome => simulate(scenarioOf(fleet, seed, reporting, trace), make(fleet.workers, seed)),
  );
  const sorted = outcomes.map(({ ttftMs }) => [...ttftMs].sort((a, b) => a - b));
  return {
    p50: sorted.map((times) => quantile(times, 0.5) / 1000),
    p99: sorted.map((times) => quantile(times, 0.99) / 1000),
    toMishap: outcomes.map(({ toMishap, sinceSeen }) => (sinceSeen === 0 ? 0 : (100 * toMishap) / sinceSeen)),
  };
}

const seconds = (value: number) => value.toFixed(2).padStart(6);
const spread = (values: readonly number[]) =>
  `${seconds(median(values))} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;

/** One fleet and traffic under all policies: a line for each, and what ours is held to. */
function compare(
  context: BenchContext,
  fleet: Fleet,
  traffic: string,
  trace: readonly TracedRequest[] | null,
): Metric[] {
  context.log(
    `${fleet.name}, ${traffic}, ${fleet.perSecond}/s: time to first token in s, median of ${seeds.length} seeds (least to most)`,
  );
  const results = new Map<string, Result>();
  const run = (name: string, make: Make, reporting: Reporting) => {
    const result = measure(fleet, reporting, trace, make);
    results.set(name, result);
    const mishap = fleet.mishap ? `  ${median(result.toMishap).toFixed(1)} % to it once seen` : '';
    context.log(`  ${name.padEnd(38)} p50 ${seconds(median(result.p50))}  p99 ${spread(result.p99)}${mishap}`);
  };
  for (const [name, make] of Object.entries(others)) run(name, make, lateReporting);
  run('by cost, figures late', ours, lateReporting);
  run('by cost, figures prompt', ours, promptReporting);
  if (trace?.some(({ blocks }) => blocks !== null)) {
    run('by cost and prefix, figures late', oursByPrefix, lateReporting);
    run('by cost and prefix, figures prompt', oursByPrefix, promptReporting);
  }
  return judged(fleet, traffic, (name) => results.get(name)!);
}

/** Ratios seed by seed, so that both sides of each had the same requests; the median of them is judged. */
function judged(fleet: Fleet, traffic: string, of: (name: string) => Result): Metric[] {
  const metrics: Metric[] = [];
  for (const late of [true, false]) {
    const mine = of(late ? 'by cost, figures late' : 'by cost, figures prompt');
    const name = `${fleet.name}, ${traffic}, figures ${late ? 'late' : 'prompt'}`;
    const ratio = (other: (seed: number) => number) => median(mine.p99.map((value, i) => value / other(i)));
    const other = (policy: Other) => (i: number) => of(policy).p99[i]!;
    const best = (i: number) => Math.min(other('least outstanding, 1 router')(i), other('power of two, 1 router')(i));
    const inRounds = ratio(other('round robin'));
    metrics.push(metric(`${name}: p99`, median(mine.p99), 's'));
    if (fleet === fleets.equal)
      metrics.push(metric(`${name}: p99 against round robin`, inRounds, '', { atMost: 1, ratioTo: 'round robin' }));
    if (fleet === fleets.mixed || fleet === fleets.foreign) {
      metrics.push(metric(`${name}: times better than round robin`, 1 / inRounds, '', { atLeast: 20 }));
      metrics.push(
        metric(`${name}: p99 against one omniscient router`, ratio(best), '', {
          atMost: 1,
          ratioTo: 'the better of two',
        }),
      );
    }
    if (fleet === fleets.stalled)
      metrics.push(metric(`${name}: requests to it once seen`, Math.max(...mine.toMishap), '%', { atMost: 1 }));
  }
  return metrics;
}

/**
 * Simulated fleets of eight engines under every policy, over generated traffic and, where `HIVEPULSE_TRACES` (default
 * ../shared/traces) has them, over public traces; and the time that a pick takes.
 */
export const run: BenchRun = async (context) => {
  const conversations = readTrace(traces, 'azure_conv');
  const long = readTrace(traces, 'mooncake_conv');
  context.log(conversations ? `traces of ${traces}` : `no traces at ${traces}: generated traffic alone`);
  const metrics: Metric[] = [];
  for (const fleet of [fleets.equal, fleets.mixed, fleets.foreign, fleets.stalled, fleets.restarting]) {
    if (!context.wants(fleet.name)) continue;
    metrics.push(...compare(context, fleet, 'generated', null));
    if (conversations && !fleet.mishap) metrics.push(...compare(context, fleet, 'Azure conversations', conversations));
  }
  if (long && context.wants(fleets.long.name)) metrics.push(...compare(context, fleets.long, 'Mooncake', long));
  if (context.wants('best')) metrics.push(...bestTimes(context.log));
  return metrics;
};
