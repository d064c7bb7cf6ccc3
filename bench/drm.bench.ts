import { fileURLToPath } from 'node:url';
import { Child } from './children.js';
import { compare, type Pair, ratioOf } from './compare.js';
import { buildLimit, limitReader } from './limit.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';
import type { DrmFixture, DrmPasses } from './processes/drm-passes.js';

/** A hive runs for days: what it costs is what it costs once its code is compiled and its processes are old. */
const warmUp = 200;
const rounds = 10;
const passesOfRound = 20;

export const rows = ['drm'] as const;

const here = fileURLToPath(new URL('..', import.meta.url));

async function start(context: BenchContext, checkout: string, kind: 'native' | 'files') {
  const child = await Child.start<DrmFixture>(context, 'drm-passes', [checkout, kind]);
  const passes = (count: number) => child.ask<DrmPasses>(count);
  await passes(warmUp);
  return { child, passes };
}

/**
 * One pass over 8 GPUs with 100 processes by plain files: all threads of a process that does nothing else. Both readers, the
 * bare C loop over the same files and, with `--against`, another checkout take turns.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const native = await start(context, here, 'native');
  const files = await start(context, here, 'files');
  const base = context.against === null ? null : await start(context, context.against, 'native');
  const limit = limitReader(context, buildLimit(context), native.child.first.files);
  const spent = { native: [] as number[], files: [] as number[], floor: [] as number[] };
  const pairs: Pair[] = [];
  let readCalls = Number.NaN;
  for (let round = 0; round < rounds; round++) {
    const ours = await native.passes(passesOfRound);
    const theirs = await base?.passes(passesOfRound);
    readCalls = ours.readCalls;
    spent.native.push(...ours.cpuMs);
    spent.files.push(...(await files.passes(passesOfRound)).cpuMs);
    spent.floor.push(...(await limit.passes(passesOfRound)).map(({ cpu }) => cpu));
    if (theirs) pairs.push({ current: median(ours.cpuMs), base: median(theirs.cpuMs) });
  }
  const to = { ratioTo: context.against ?? '' };
  return [
    metric('drm pass, 8 GPUs, 100 processes', median(spent.native), 'ms CPU', { atMost: 3 }),
    metric('drm pass, the least', Math.min(...spent.native), 'ms CPU'),
    metric('drm pass, the costliest', Math.max(...spent.native), 'ms CPU'),
    metric('drm pass, calls that read', readCalls, 'calls'),
    metric('drm pass by the TypeScript reader', median(spent.files), 'ms CPU'),
    metric('drm files in C, opened once and not parsed', median(spent.floor), 'ms CPU'),
    ...(pairs.length > 0 ? [metric('drm pass compared', ratioOf(compare(pairs)), 'times', to)] : []),
  ];
}
