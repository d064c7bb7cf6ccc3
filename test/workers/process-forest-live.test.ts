import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { processStat } from '../../lib/procfs/process-stat.js';
import { systemClock } from '../../lib/util/clock.js';
import { emptyForest, type Forest, growForest, type TreeRoot } from '../../lib/workers/process-forest.js';
import { ProcessTable } from '../../lib/workers/process-table.js';
import { waitFor } from '../harness/wait.js';

const markerVariable = 'HIVEPULSE_TEST_MARKER';
const asleep = '600.25';

/** Two children, one of which is orphaned at once, in a session whose leader has ended. */
const script = `sleep ${asleep} & setsid sh -c 'sleep ${asleep} & :' & wait`;

it.skipIf(!existsSync('/proc/self/stat'))(
  'real processes that fork twice into a session of their own are held (needs Linux)',
  async () => {
    const table = new ProcessTable({ procRoot: '/proc', clock: systemClock, markerVariable });
    table.readMarkers();
    onTestFinished(() => table.close());
    const marker = `test-${process.pid}-${Date.now()}`;
    const child = spawn('sh', ['-c', script], { env: { ...process.env, [markerVariable]: marker }, stdio: 'ignore' });
    const pid = child.pid as number;
    const { startTicks = 0 } = (await processStat(pid)) ?? {};
    const root: TreeRoot = { key: 'tree', pid, startTicks, marker, reaper: null };
    let forest: Forest = emptyForest;
    onTestFinished(() => {
      for (const identity of forest.members.keys()) process.kill(Number.parseInt(identity, 10), 'SIGKILL');
    });
    const scan = async () => {
      await table.scan();
      forest = growForest(forest, table.all(), [root]);
      const held = [...forest.members].map(([identity, { by }]) => [
        table.get(Number.parseInt(identity, 10))?.argv[0],
        by,
      ]);
      return held.map((each) => each.join(' by ')).sort();
    };
    // A child that has forked and not yet started its program still has its parent's name.
    const held = ['sh by root', 'sleep by marker', 'sleep by parent'];
    await waitFor(async () => isDeepStrictEqual(await scan(), held), { what: held.join(', ') });
    // The root alone ends.
    process.kill(pid, 'SIGKILL');
    await waitFor(async () => (await scan()).length === 2, { what: 'the root to end' });
    expect(await scan()).toEqual(['sleep by marker', 'sleep by marker']);
  },
);
