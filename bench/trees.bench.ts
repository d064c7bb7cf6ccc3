import { Child } from './children.js';
import { buildLimit, limitReader, wakingTrees } from './limit.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';
import type { TreesCost } from './processes/trees.js';

const trees = 100;
const warmUpPasses = 200;
const rounds = 21;
const passesOfRound = 20;

export const rows = ['trees_100'] as const;

/**
 * One pass over 100 trees of five processes each, CPU of all threads: what the addon reads, what is made of it, nothing else.
 * Beside it, round by round, a bare C loop over kept descriptors of the same files: what the kernel takes to write them.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const program = buildLimit(context);
  const pids = await wakingTrees(context, program, trees);
  const processes = pids.flat();
  const of = (...names: readonly string[]) => processes.flatMap((pid) => names.map((name) => `/proc/${pid}/${name}`));
  const all = limitReader(context, program, of('stat', 'statm', 'io'));
  const stat = limitReader(context, program, of('stat'));
  const child = await Child.start<TreesCost>(context, 'trees', [pids.map((tree) => tree.join('+')).join()]);
  await child.ask({ passes: warmUpPasses });
  const costs: TreesCost[] = [];
  const [kernelAll, kernelStat]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    costs.push(await child.ask<TreesCost>({ passes: passesOfRound }));
    kernelAll.push(...(await all.passes(passesOfRound)).map(({ cpu }) => cpu));
    kernelStat.push(...(await stat.passes(passesOfRound)).map(({ cpu }) => cpu));
  }
  const allMs = median(costs.map((cost) => cost.allMs));
  const loopMs = median(costs.map((cost) => cost.loopMs));
  const [floorMs, statMs] = [median(kernelAll), median(kernelStat)];
  context.log(
    `${processes.length} processes: ${allMs.toFixed(2)} ms of CPU a pass, ${loopMs.toFixed(2)} ms on the event loop; a bare loop over the same files ${floorMs.toFixed(2)} ms, over stat alone ${statMs.toFixed(2)} ms`,
  );
  return [
    metric('trees_100 all threads', allMs, 'ms CPU', { atMost: 4 }),
    metric('trees_100 event loop', loopMs, 'ms CPU', { atMost: 1 }),
    metric('trees_100 bare loop over stat, statm and io', floorMs, 'ms CPU'),
    metric('trees_100 bare loop over stat', statMs, 'ms CPU'),
  ];
}
