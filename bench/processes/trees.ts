// Reads trees of processes and does nothing else. argv: trees, separated by commas, of pids, the root's
// first, separated by +. First it says how many processes they have; each message is answered with what so many passes cost on the CPU, in ms a pass.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadBinding } from '../../lib/native/binding.js';
import { parseProcessStat } from '../../lib/procfs/parse.js';
import { TreeReader } from '../../lib/sampling/tree-reader.js';
import { systemClock } from '../../lib/util/clock.js';
import type { ProcessTrees } from '../../lib/workers/tree-workers.js';

export interface TreesCost {
  readonly processes: number;
  /** Of all threads, and of the one that runs JavaScript. */
  readonly allMs: number;
  readonly loopMs: number;
}

const { binding } = loadBinding();
if (binding === undefined) throw new Error('the addon is not built');

function readTrees(): ProcessTrees {
  const trees = (process.argv[2] as string).split(',').map((tree) => {
    const members = tree.split('+').map((pid) => {
      const stat = parseProcessStat(readFileSync(`/proc/${pid}/stat`));
      if (stat === null) throw new Error(`${pid} has ended`);
      return { pid: Number(pid), startTicks: stat.startTicks };
    });
    const root = String(members[0]?.pid);
    return { key: `processes:${root}`, group: 'processes', instance: root, record: null, members };
  });
  return { trees, outer: new Map(), treeOf: new Map() };
}

const trees = readTrees();
const reader = new TreeReader({
  procRoot: '/proc',
  clock: systemClock,
  clockTicks: binding.clockTicksPerSecond,
  pageSize: binding.pageSize,
  trees: () => trees,
});
const loopSpent = (): number => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
const allSpent = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const processes = trees.trees.reduce((sum, { members }) => sum + members.length, 0);
process.send?.({ processes, allMs: 0, loopMs: 0 } satisfies TreesCost);
process.once('disconnect', () => reader.close());
for (;;) {
  const [{ passes }] = (await once(process, 'message')) as [{ readonly passes: number }];
  const [all, loop] = [allSpent(), loopSpent()];
  for (let i = 0; i < passes; i += 1) await reader.read();
  process.send?.({
    processes,
    allMs: (allSpent() - all) / passes,
    loopMs: (loopSpent() - loop) / passes,
  } satisfies TreesCost);
}
