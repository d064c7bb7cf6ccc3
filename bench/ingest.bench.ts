import { Child } from './children.js';
import { type BenchContext, type BenchRun, type Metric, median, metric } from './metric.js';
import type { LoadResult } from './processes/load.js';
import { type QueenUse, queenFlags } from './queen-use.js';

interface Case {
  readonly name: string;
  readonly hives: number;
  readonly workers: number;
  readonly packing: 'plain' | 'gzip';
  readonly heartbeats: number;
  readonly atLeast?: number;
}

/** So many hives that none sends more often than a queen takes from one. */
const cases: readonly Case[] = [
  { name: 'ingest_8', hives: 256, workers: 8, packing: 'plain', heartbeats: 8, atLeast: 6000 },
  { name: 'ingest_100', hives: 64, workers: 100, packing: 'plain', heartbeats: 4, atLeast: 800 },
  { name: 'ingest_100 gzip', hives: 64, workers: 100, packing: 'gzip', heartbeats: 4 },
];

/** µs of the server's CPU per beat, one figure for each round. */
async function server(context: BenchContext, kind: 'queen' | 'bare', { hives, workers, packing }: Case) {
  const child = await Child.start<{ port: number }>(context, 'queen', [kind], queenFlags);
  const load = await Child.start(context, 'load', [child.first.port, hives, workers, packing]);
  return async (heartbeats: number) => {
    await load.ask({ prepare: heartbeats });
    const before = await child.ask<QueenUse>();
    const { count: sent, bodyBytes } = await load.ask<LoadResult>({ heartbeats });
    const after = await child.ask<QueenUse>();
    return { micros: (after.cpuMicros - before.cpuMicros) / sent, bodyBytes };
  };
}

export const rows = ['ingest_8', 'ingest_100'] as const;

/**
 * Heartbeats over HTTP into a whole queen, and into a bare node:http server with JSON.parse in turns with it. By CPU time
 * of the serving process: what one core of its own would take.
 */
export const run: BenchRun = async (context) => {
  const metrics: Metric[] = [];
  for (const each of cases) {
    if (!context.wants(each.name.split(' ')[0] as string)) continue;
    const queen = await server(context, 'queen', each);
    const bare = await server(context, 'bare', each);
    for (let i = 0; i < 3; i++) {
      await queen(each.heartbeats);
      await bare(each.heartbeats);
    }
    const of = { queen: [] as number[], bare: [] as number[] };
    let bodyBytes = 0;
    for (let round = 0; round < 5; round++) {
      const taken = await queen(each.heartbeats);
      bodyBytes = taken.bodyBytes;
      of.queen.push(taken.micros);
      of.bare.push((await bare(each.heartbeats)).micros);
    }
    const [micros, least] = [median(of.queen), median(of.bare)];
    context.log(
      `${each.name}: ${micros.toFixed(0)} us a beat of ${(bodyBytes / 1000).toFixed(1)} kB, bare server ${least.toFixed(0)} us`,
    );
    metrics.push(
      metric(
        `${each.name} by CPU`,
        1e6 / micros,
        'heartbeats/s per core',
        each.atLeast ? { atLeast: each.atLeast } : {},
      ),
      metric(`${each.name} body`, bodyBytes / 1000, 'kB'),
      metric(`${each.name} over bare`, micros / least, 'x', { ratioTo: 'node:http and JSON.parse' }),
    );
  }
  return metrics;
};
