import { Child } from './children.js';
import { type BenchContext, type BenchRun, type Metric, median, metric } from './metric.js';
import type { LoadResult } from './processes/load.js';
import type { StreamLoadResult } from './processes/stream-load.js';
import { type QueenUse, queenFlags } from './queen-use.js';

interface Case {
  readonly name: string;
  readonly hives: number;
  readonly workers: number;
  readonly heartbeats: number;
  readonly goals: boolean;
}

const cases: readonly Case[] = [
  { name: 'stream_8', hives: 256, workers: 8, heartbeats: 10, goals: true },
  { name: 'stream_100', hives: 64, workers: 100, heartbeats: 10, goals: false },
];

export const rows = ['stream_8', 'stream_100'] as const;

/** A queen of its own under this load: µs of its CPU per heartbeat. */
async function loaded<R extends LoadResult>(context: BenchContext, load: string, args: readonly (string | number)[]) {
  const queen = await Child.start<{ port: number }>(context, 'queen', ['queen'], queenFlags);
  const source = await Child.start(context, load, [queen.first.port, ...args]);
  return async (heartbeats: number) => {
    // A queen that waits for it does something as well.
    await source.ask({ prepare: heartbeats });
    const before = await queen.ask<QueenUse>();
    const result = await source.ask<R>({ heartbeats });
    const after = await queen.ask<QueenUse>();
    return { ...result, micros: (after.cpuMicros - before.cpuMicros) / result.count };
  };
}

/** Heartbeats by POST and by streams into queens of their own, in turns. */
export const run: BenchRun = async (context) => {
  const metrics: Metric[] = [];
  for (const { name, hives, workers, heartbeats, goals } of cases) {
    if (!context.wants(name)) continue;
    const post = await loaded<LoadResult>(context, 'load', [hives, workers, 'plain']);
    const stream = await loaded<StreamLoadResult>(context, 'stream-load', [hives, workers]);
    for (let i = 0; i < 3; i++) {
      await post(heartbeats);
      await stream(heartbeats);
    }
    const [posted, streamed] = [[] as number[], [] as number[]];
    const [bytes, encode] = [[] as number[], [] as number[]];
    for (let round = 0; round < 6; round++) {
      posted.push((await post(heartbeats)).micros);
      const each = await stream(heartbeats);
      streamed.push(each.micros);
      bytes.push(each.bodyBytes);
      encode.push(each.encodeMicros);
    }
    const [one, other] = [median(posted), median(streamed)];
    const meanBytes = bytes.reduce((sum, each) => sum + each, 0) / bytes.length;
    context.log(
      `${name}: ${other.toFixed(1)} us by a stream, ${one.toFixed(0)} us by POST, ${meanBytes.toFixed(0)} bytes`,
    );
    const goal = <T extends object>(given: T) => (goals ? given : {});
    metrics.push(
      metric(`${name} by CPU`, 1e6 / other, 'heartbeats/s per core', goal({ atLeast: 12_000 })),
      metric(`${name} to POST`, one / other, 'x', { ratioTo: 'POST', ...goal({ atLeast: 3.5 }) }),
      metric(`${name} message`, meanBytes, 'bytes', goal({ atMost: 600 })),
      metric(`${name} encode`, median(encode) / 1000, 'ms', name === 'stream_100' ? { atMost: 1 } : {}),
    );
  }
  return metrics;
};
