import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { effortsWithout, marked, placeProblem, stopWorkerTree, treeOf } from '../../lib/launch/launch-tree.js';
import { parseLimits } from '../../lib/launch/limits.js';
import { processStat } from '../../lib/procfs/process-stat.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { waitFor } from '../harness/wait.js';

const readOnly = new HivepulseError('CGROUP_PERMISSION_DENIED', '/sys/fs/cgroup', 'It is read-only.');

describe('where no cgroup can be made', () => {
  it('only the place is a reason to do without one, never a directory that was named', () => {
    expect(placeProblem(readOnly, undefined)).toBe(readOnly);
    expect(placeProblem(readOnly, '/sys/fs/cgroup/mine')).toBeNull();
    expect(placeProblem(new HivepulseError('LAUNCH_FAILED', 'x', 'x'), undefined)).toBeNull();
    expect(placeProblem(new Error('x'), undefined)).toBeNull();
  });

  it('limits that were asked for are refused by their flags, and done as far as it goes with --best-effort', () => {
    const allowed = [0, 1];
    const none = effortsWithout(readOnly, { limits: parseLimits({ cpu: 'max', memory: 'max' }) }, allowed);
    expect(none.names).toEqual([]);
    const limits = parseLimits({ cpu: '1', memoryHigh: '1G' });
    expect(() => effortsWithout(readOnly, { limits }, allowed)).toThrow(
      '--cpu, --memory-high cannot be enforced here; give --best-effort',
    );
    const { bounds, notes } = effortsWithout(readOnly, { limits, bestEffort: true, takenCpus: ['0'] }, allowed);
    expect(bounds.cpus).toBe('1');
    expect(notes(new Set(['cpus']))).toMatchObject([
      { name: 'cpu', code: 'LIMIT_IN_PART' },
      { name: 'memoryHigh', code: 'LIMIT_NOT_APPLIED' },
    ]);
  });
});

/** A shell that ignores SIGTERM, with a daemon that forked twice into a session of its own and ignores it too. */
const stubborn = `trap '' TERM; (setsid sh -c "trap '' TERM; for i in \\$(seq 120); do sleep 1; done" &); for i in $(seq 120); do sleep 1; done`;

/**
 * A daemon in a session of its own every 50 ms, none of which ends at SIGTERM. All end by themselves after minutes, so that a run
 * that is killed meanwhile leaves no machine without processes.
 */
const forking = `trap '' TERM; for i in $(seq 1200); do (setsid sh -c "trap '' TERM; exec sleep 120" &); sleep 0.05; done`;

describe('a tree of real processes', () => {
  it('is stopped whole, with what forked twice and what ignores the signal', async () => {
    const { options, marker } = marked({ env: process.env });
    const child = spawn('sh', ['-c', stubborn], { env: options.env, detached: true, stdio: 'ignore' });
    onTestFinished(() => void killMarked(marker));
    const pid = child.pid as number;
    const startTicks = (await processStat(pid))?.startTicks ?? null;
    const tree = treeOf({ cgroup: null, pid, startTicks, marker });
    if (tree === null) throw new Error('no tree');
    // Two shells, and the sleep of each.
    await waitFor(async () => (await tree.scan()).length === 4);
    // For a moment a sleep has ended, and the next has not begun.
    await waitFor(() => withMarker(marker).length === 4);
    const stopped = await stopWorkerTree(tree, 'g/i', { graceMs: 200 });
    expect(stopped).toMatchObject({ id: 'g/i', killed: true });
    if (child.signalCode === null) await once(child, 'exit');
    expect(await tree.scan()).toEqual([]);
    expect(withMarker(marker)).toEqual([]);
  });

  it('leaves nothing of what forks daemons all the while it is stopped', async () => {
    const { options, marker } = marked({ env: process.env });
    const child = spawn('sh', ['-c', forking], { env: options.env, detached: true, stdio: 'ignore' });
    onTestFinished(() => void killMarked(marker));
    const pid = child.pid as number;
    const startTicks = (await processStat(pid))?.startTicks ?? null;
    const tree = treeOf({ cgroup: null, pid, startTicks, marker });
    if (tree === null) throw new Error('no tree');
    await waitFor(async () => (await tree.scan()).length > 5);
    expect(await stopWorkerTree(tree, 'g/i', { graceMs: 100, killMs: 20_000 })).toMatchObject({ killed: true });
    if (child.signalCode === null) await once(child, 'exit');
    expect(withMarker(marker)).toEqual([]);
  });

  it('is none of a worker with a cgroup, and of a record without a mark', () => {
    expect(treeOf({ cgroup: '/sys/fs/cgroup/x', pid: 5, startTicks: 1, marker: 'm' })).toBeNull();
    expect(treeOf({ cgroup: null, pid: 5, startTicks: 1 })).toBeNull();
  });
});

/** Processes that live and have the mark, by looking at all. */
function withMarker(marker: string): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(marker)
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });
}

function killMarked(marker: string): void {
  for (const pid of withMarker(marker)) process.kill(pid, 'SIGKILL');
}
