import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WorkerTree } from '../../lib/launch/worker-tree.js';
import { markerVariable } from '../../lib/workers/tree-workers.js';

const marker = 'm-1';
const marked = `PATH=/bin\0${markerVariable}=${marker}\0`;

/** A /proc of its own, and a clock that goes on where somebody waits. `onWait`: what happens meanwhile. */
async function procOf(
  processes: readonly (readonly [pid: number, parentPid: number, environ: string, startTicks?: number])[],
) {
  const root = mkdtempSync(join(tmpdir(), 'hivepulse-tree-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const setEnviron = (pid: number, environ: string) => writeFile(join(root, `${pid}/environ`), environ);
  for (const [pid, parentPid, environ, startTicks = 500] of processes) {
    await mkdir(join(root, `${pid}`));
    const rest = Array.from({ length: 45 }, () => '0');
    const after = ['S', parentPid, pid, pid, ...rest];
    // Field 22 is when it was started.
    after[19] = `${startTicks}`;
    await writeFile(join(root, `${pid}/stat`), `${pid} (sh) ${after.join(' ')}\n`);
    await setEnviron(pid, environ);
  }
  let nowMs = 0;
  const tree = new WorkerTree({ pid: 900, startTicks: 1, marker }, root);
  const waits: number[] = [];
  const onWait = { run: async () => {} };
  Object.assign(tree, {
    nowMs: () => nowMs,
    delay: async (ms: number) => {
      nowMs += ms;
      waits.push(ms);
      await onWait.run();
    },
  });
  const scan = async () => (await tree.scan()).map(({ pid }) => pid);
  return { scan, setEnviron, waits, onWait };
}

describe('the processes of a tree', () => {
  it('have one among them that starts a program just now, whose environment is not there yet', async () => {
    const { scan, setEnviron, onWait, waits } = await procOf([
      [100, 1, marked],
      [101, 1, ''],
    ]);
    onWait.run = () => setEnviron(101, marked);
    expect(await scan()).toEqual([100, 101]);
    expect(waits).toHaveLength(1);
    expect(await scan()).toEqual([100, 101]);
    expect(waits).toHaveLength(1);
  });

  it('are waited for no longer than a program takes to start, and once for each that has no environment', async () => {
    const { scan, waits } = await procOf([
      [100, 1, marked],
      [101, 1, ''],
    ]);
    expect(await scan()).toEqual([100]);
    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBe(200);
    const before = waits.length;
    expect(await scan()).toEqual([100]);
    expect(waits).toHaveLength(before);
  });

  it('wait for no thread of the kernel, and for nothing that is older than the tree', async () => {
    const { scan, waits } = await procOf([
      [1, 0, '', 0],
      [2, 0, ''],
      [33, 2, ''],
      [100, 1, marked],
    ]);
    expect(await scan()).toEqual([100]);
    expect(waits).toEqual([]);
  });
});
