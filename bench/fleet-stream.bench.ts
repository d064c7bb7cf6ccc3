import { get } from 'node:http';
import { defaults } from '../lib/contract/defaults.js';
import { openFilesLimit } from '../lib/util/open-files.js';
import { Child } from './children.js';
import { type BenchContext, type BenchRun, formatMetrics, type Metric, metric } from './metric.js';
import type { FleetCounts } from './processes/fleet-hives.js';
import { type QueenUse, queenFlags } from './queen-use.js';

interface Case {
  readonly name: string;
  readonly hives: number;
  readonly workers: number;
  /** Readers of events, beside a scrape each 15 s. */
  readonly readers: number;
}

const fleet: Case = { name: 'fleet_stream_10000_hives', hives: 10_000, workers: 8, readers: 5 };
const large: Case = { name: 'fleet_stream_100_workers', hives: 1000, workers: 100, readers: 0 };
const restart = 'fleet_stream_restart';

export const rows = [fleet.name, large.name, restart] as const;

/** Until each hive has sent a keyframe at its own time, and has the history of a day. */
const settleSeconds = Number(process.env.HIVEPULSE_FLEET_SETTLE_SECONDS ?? 130);
const measuredSeconds = Number(process.env.HIVEPULSE_FLEET_SECONDS ?? 60);
/** A part of the fleet, for a machine that is small or busy. */
const partHives = Number(process.env.HIVEPULSE_FLEET_HIVES ?? Number.POSITIVE_INFINITY);
const sampleSeconds = 5;
const scrapeMs = 15_000;
/** Descriptors of each process beside those of hives. */
const otherDescriptors = 1024;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Reads all of an answer, and keeps nothing of it. */
function read(port: number, path: string, accept: string): () => void {
  const request = get({ host: '127.0.0.1', port, path, headers: { accept } }, (response) => response.resume());
  request.on('error', () => undefined);
  return () => request.destroy();
}

/** Gives what ends it. */
function watch(context: BenchContext, port: number, readers: number): () => void {
  const ends = Array.from({ length: readers }, () =>
    read(port, '/v1/events?kind=event,queenEvent', 'text/event-stream'),
  );
  const scrapes = setInterval(() => read(port, '/metrics', 'text/plain'), scrapeMs);
  const end = () => {
    clearInterval(scrapes);
    for (const each of ends) each();
  };
  context.defer(end);
  return end;
}

/** How many of the hives this machine and this run have; targets are for all of them. */
function sizeOf(context: BenchContext, name: string, hives: number) {
  const most = (openFilesLimit() ?? hives + otherDescriptors) - otherDescriptors;
  const count = Math.min(hives, most, partHives);
  if (count < hives) context.log(`${name}: ${count} hives of ${hives}: its targets do not count`);
  return { count, goal: (atMost: number) => (count === hives ? { atMost } : {}) };
}

const startQueen = (context: BenchContext, port = 0, kind: 'queen' | 'bareStream' = 'queen') =>
  Child.start<{ port: number }>(context, 'queen', [kind, 'watched', port], queenFlags);

/** CPU of a heartbeat, µs, of a server that reads the same messages and does nothing with them: what connections alone cost here. */
async function bareMicros(context: BenchContext, count: number, workers: number): Promise<number> {
  const server = await startQueen(context, 0, 'bareStream');
  const load = await Child.start(context, 'fleet-hives', [server.first.port, count, workers]);
  await pause(sampleSeconds * 1000);
  const [before, sentBefore] = [await server.ask<QueenUse>(), await load.ask<FleetCounts>()];
  await pause(2 * sampleSeconds * 1000);
  const [use, sent] = [await server.ask<QueenUse>(), await load.ask<FleetCounts>()];
  await load.stop();
  await server.stop();
  return (use.cpuMicros - before.cpuMicros) / (sent.sent - sentBefore.sent);
}

async function measure(context: BenchContext, { name, hives, workers, readers }: Case): Promise<readonly Metric[]> {
  const { count, goal } = sizeOf(context, name, hives);
  const queen = await startQueen(context);
  const { port } = queen.first;
  const emptyBytes = (await queen.ask<QueenUse>()).rssBytes;
  const load = await Child.start<{ connectMs: number }>(context, 'fleet-hives', [port, count, workers]);
  context.log(`${name}: ${count} connections in ${(load.first.connectMs / 1000).toFixed(1)} s`);
  const unwatch = watch(context, port, readers);
  await pause(settleSeconds * 1000);
  const [before, sentBefore] = [await queen.ask<QueenUse>({ beginsAnew: true }), await load.ask<FleetCounts>()];
  const fromMs = performance.now();
  const delays: number[] = [];
  const rss: number[] = [];
  let use = before;
  while (performance.now() - fromMs < measuredSeconds * 1000) {
    await pause(sampleSeconds * 1000);
    use = await queen.ask<QueenUse>();
    delays.push(use.loopDelayMs);
    rss.push(use.rssBytes / 2 ** 20);
  }
  const seconds = (performance.now() - fromMs) / 1000;
  const sent = await load.ask<FleetCounts>();
  unwatch();
  await load.stop();
  await queen.stop();
  const bare = await bareMicros(context, count, workers);
  const percent = (use.cpuMicros - before.cpuMicros) / 1e4 / seconds;
  const perSecond = (sent.sent - sentBefore.sent) / seconds;
  const half = rss.length >> 1;
  const growth = Math.max(...rss.slice(half)) / Math.max(...rss.slice(0, Math.max(1, half)));
  const astray = sent.lost + sent.resyncs - sentBefore.lost - sentBefore.resyncs;
  const waited = (use.waitedMs - before.waitedMs) / 10 / seconds;
  context.log(
    `${name}: ${perSecond.toFixed(0)} heartbeats/s, sent at most ${sent.lateMs.toFixed(0)} ms late; the queen waited for a core ${waited.toFixed(0)} % of the time`,
  );
  return [
    metric(`${name} CPU`, percent, '% of a core', goal(60)),
    metric(`${name} CPU of a heartbeat`, (percent * 1e4) / perSecond, 'us'),
    metric(`${name} CPU of a heartbeat that is only read`, bare, 'us'),
    metric(`${name} event loop delay p99`, use.wholeLoopDelayMs, 'ms', goal(20)),
    metric(`${name} event loop delay p99 of the worst ${sampleSeconds} s`, Math.max(...delays), 'ms'),
    metric(`${name} RSS`, Math.max(...rss), 'MiB', workers === 8 ? goal(700) : {}),
    metric(`${name} RSS of a hive`, (Math.max(...rss) - emptyBytes / 2 ** 20) * (1024 / count), 'KiB'),
    metric(`${name} RSS growth`, growth, 'x', goal(1.05)),
    metric(`${name} not as sent`, astray, 'messages', goal(0)),
  ];
}

/** From the moment that a queen which was started anew listens until it has the whole fleet again. */
async function measureRestart(context: BenchContext): Promise<readonly Metric[]> {
  const { count, goal } = sizeOf(context, restart, fleet.hives);
  const first = await startQueen(context);
  const { port } = first.first;
  const load = await Child.start(context, 'fleet-hives', [port, count, fleet.workers]);
  const hasAll = async () => (await load.ask<FleetCounts>()).present === count;
  const until = async (isDone: () => Promise<boolean>) => {
    const fromMs = performance.now();
    while (!(await isDone())) {
      if (performance.now() - fromMs > 120_000) throw new Error(`${restart}: a part of the fleet does not come back`);
      await pause(50);
    }
    return performance.now() - fromMs;
  };
  await until(hasAll);
  await first.stop();
  const second = await startQueen(context, port);
  const beganAt = (await second.ask<QueenUse>()).cpuMicros;
  const ms = await until(hasAll);
  const cpuMs = ((await second.ask<QueenUse>()).cpuMicros - beganAt) / 1000;
  await load.stop();
  await second.stop();
  return [
    metric(`${restart} until all are back`, ms / 1000, 's', goal(defaults.warmingMs / 1000)),
    metric(`${restart} CPU of a hive`, cpuMs / count, 'ms'),
  ];
}

/**
 * A whole fleet over streams at a heartbeat a second, against one queen. HIVEPULSE_FLEET_SECONDS: how long it is measured, after
 * HIVEPULSE_FLEET_SETTLE_SECONDS; HIVEPULSE_FLEET_HIVES: with fewer hives.
 */
export const run: BenchRun = async (context) => {
  const metrics: Metric[] = [];
  for (const each of [fleet, large])
    if (context.wants(each.name)) {
      const measured = await measure(context, each);
      context.log(formatMetrics(measured).trim());
      metrics.push(...measured);
    }
  if (context.wants(restart)) metrics.push(...(await measureRestart(context)));
  return metrics;
};
