import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FleetEvent } from '../../lib/contract/api.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { sleeping, workerSeen } from '../e2e/fleet.js';
import { BeatWatch, faultGone, faultNamed, faultSeconds } from '../harness/beat.js';
import { cgroupSuite, createCgroupTree, joinCgroup } from '../harness/cgroups.js';
import { getJson, useHarness } from '../harness/harness.js';
import { createOtherHost } from '../harness/network.js';
import { descriptors, residentMiB } from '../harness/resources.js';
import { waitFor } from '../harness/wait.js';
import { breathMiB, intervalMs, lasts, sampled, startScene, told } from './scene.js';

const suite = cgroupSuite('cgroups and /proc that fail');
const snapshotOf = (url: string): Promise<Heartbeat> => getJson<Heartbeat>(`${url}/v1/snapshot`);

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();
  let children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children = [];
  });

  /** A hive over a tree of its own, whose cgroups the test makes by itself. */
  const bare = async (options: { under?: readonly string[]; args?: readonly string[] } = {}) => {
    const tree = await createCgroupTree();
    harness().defer(() => tree.dispose());
    const group = await tree.cgroup('hivepulse.slice/demo');
    const hive = await harness().hive([], {
      args: [
        ...['--root', tree.root, '--runtime-dir', harness().directory(), '--no-auto', '--gpu', 'none'],
        ...['--id', 'alpha', '--interval', `${intervalMs}ms`, ...(options.args ?? [])],
      ],
      ...(options.under ? { under: options.under } : {}),
    });
    const beat = await BeatWatch.start(harness(), hive.url, intervalMs);
    const worker = async (name: string, command: readonly string[] = ['sleep', '600']) => {
      const path = join(group, name);
      mkdirSync(path);
      const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
      children.push(child);
      await joinCgroup(path, child.pid!);
      return { path, child };
    };
    return { tree, group, hive, beat, worker };
  };
  const workerOf = async (url: string, id: string) =>
    (await snapshotOf(url)).workers.find((worker) => worker.id === id);

  test.each(['native', 'files'] as const)(
    'cgroup_permission_denied: %s reader: the fault names it, the others keep their figures, and it mends itself',
    async (reader) => {
      // Root without the right to override permissions, as a service with a bounded set of capabilities is.
      const under = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];
      const now = await bare({ under, args: ['--reader', reader] });
      await now.worker('open');
      await waitFor(() => workerOf(now.hive.url, 'demo/open'), { timeoutMs: 20_000, what: 'the first worker' });
      const locked = await now.worker('locked');
      chmodSync(locked.path, 0);
      harness().defer(() => chmodSync(locked.path, 0o755));
      now.beat.begin();
      const fault = await faultNamed(now.hive.url, ({ message, code }) =>
        /EACCES|denied|PERMISSION/i.test(code + message),
      );
      expect(fault.source).toMatch(/cgroup|proc/);
      await lasts(Math.min(faultSeconds, 3));
      const open = await workerOf(now.hive.url, 'demo/open');
      expect(open?.cpuPercent).not.toBeNull();
      expect(now.beat.uneven()).toBeNull();
      chmodSync(locked.path, 0o755);
      await waitFor(async () => ((await workerOf(now.hive.url, 'demo/locked'))?.cpuPercent ?? null) !== null, {
        // What could not be opened is tried again every 60th pass.
        timeoutMs: 60_000,
        what: 'the figures of the worker that was locked',
      });
      await faultGone(now.hive.url, ({ message, code }) => /EACCES|denied|PERMISSION/i.test(code + message));
    },
  );

  test.each(['native', 'files'] as const)(
    'cgroup_churn: %s reader: a thousand workers come and go under it, removed in the middle of a read',
    async (reader) => {
      const now = await bare({ args: ['--reader', reader] });
      const steady = await now.worker('steady');
      await waitFor(async () => (await workerOf(now.hive.url, 'demo/steady'))?.processCount === 1, {
        timeoutMs: 20_000,
        what: 'the steady worker',
      });
      const before = { memory: residentMiB(now.hive.process.pid), descriptors: descriptors(now.hive.process.pid) };
      now.beat.begin();
      let seen = 0;
      for (let round = 0; round < 20; round += 1) {
        const batch = await Promise.all(Array.from({ length: 50 }, (_, i) => now.worker(`w${round}-${i}`)));
        if (round % 5 === 0) {
          const most = await waitFor(
            async () => {
              const { workers } = await snapshotOf(now.hive.url);
              return workers.length >= 50 && workers.length;
            },
            { timeoutMs: 20_000, what: 'the hive to see a batch' },
          );
          seen = Math.max(seen, most);
        }
        for (const { child } of batch) child.kill('SIGKILL');
        await Promise.all(
          batch.map(({ path }) =>
            waitFor(
              () => {
                rmdirSync(path);
                return true;
              },
              { everyMs: 5, what: `${path} to be empty` },
            ),
          ),
        );
      }
      expect(now.beat.uneven()).toBeNull();
      expect(seen).toBeGreaterThanOrEqual(51);
      const last = await waitFor(
        async () => {
          const found = await snapshotOf(now.hive.url);
          return found.workers.length === 1 && found.workersComplete && found;
        },
        { timeoutMs: 30_000, what: 'only the steady worker to be left' },
      );
      expect(last.workers[0]).toMatchObject({ id: 'demo/steady', pid: steady.child.pid });
      expect(last.faults.filter(({ workerId }) => workerId !== undefined && workerId !== 'demo/steady')).toEqual([]);
      await waitFor(() => descriptors(now.hive.process.pid) <= before.descriptors + 12, {
        timeoutMs: 20_000,
        what: 'descriptors of cgroups that are gone to be closed',
      });
      expect(residentMiB(now.hive.process.pid)).toBeLessThan(before.memory + breathMiB);
    },
  );

  test('descriptor_limit: 60 workers more than there are descriptors for: named, the beat goes on, and all is well after', async () => {
    const now = await bare();
    const { pid } = now.hive.process;
    await now.worker('first');
    await waitFor(async () => ((await workerOf(now.hive.url, 'demo/first'))?.cpuPercent ?? null) !== null, {
      timeoutMs: 20_000,
      what: 'the first worker',
    });
    // Room for a few more: some of what follows cannot be opened.
    const limit = (value: string) => spawnSync('prlimit', ['--pid', String(pid), `--nofile=${value}:`]).status;
    expect(limit(String(descriptors(pid) + 3))).toBe(0);
    now.beat.begin();
    await Promise.all(Array.from({ length: 60 }, (_, i) => now.worker(`w${i}`)));
    const named = ({ code, message }: { code: string; message: string }) => /EMFILE|descriptor/i.test(code + message);
    // Read over what was open before; a new connection could not be taken.
    const watched = harness().stream(`${now.hive.url}/v1/events`);
    await waitFor(
      () =>
        watched.messages.some(({ data }) => {
          const { workers = [], faults = [] } = data as Partial<Heartbeat>;
          const told = workers.filter(({ cpuPercent }) => cpuPercent !== null).length;
          return told === 61 || faults.some(named);
        }),
      { timeoutMs: 20_000, what: 'all workers with figures, or the limit named' },
    );
    await lasts(Math.min(faultSeconds, 4));
    expect(now.beat.uneven()).toBeNull();
    expect(now.hive.process.running).toBe(true);
    expect(limit('20000')).toBe(0);
    await waitFor(
      async () => {
        const { workers, faults } = await snapshotOf(now.hive.url);
        return workers.filter(({ cpuPercent }) => cpuPercent !== null).length === 61 && !faults.some(named);
      },
      { timeoutMs: 30_000, what: 'figures of all workers once there are descriptors' },
    );
  });

  test('proc_hidepid: processes of others are hidden: cgroup figures stay, what is not known is null', async () => {
    const proc = harness().directory();
    const mounted = spawnSync('mount', ['-t', 'proc', '-o', 'hidepid=invisible,gid=65533', 'proc', proc], {
      encoding: 'utf8',
    });
    expect(mounted.stderr).toBe('');
    harness().defer(() => void spawnSync('umount', ['-l', proc]));
    const under = ['setpriv', '--bounding-set', '-sys_ptrace'];
    const now = await bare({ under, args: ['--proc-root', proc] });
    const other = ['setpriv', '--reuid', '65534', '--clear-groups', 'sleep', '600'];
    const hidden = await now.worker('hidden', other);
    await now.worker('own', [...under, 'sleep', '600']);
    const worker = await waitFor(
      async () => {
        const found = await workerOf(now.hive.url, 'demo/hidden');
        return found?.cpuPercent !== undefined && found.cpuPercent !== null && found;
      },
      { timeoutMs: 30_000, what: 'figures of the hidden worker' },
    );
    expect(worker.processCount).toBe(1);
    expect(worker.command).toBeNull();
    expect(worker.startedAt).toBeNull();
    expect(hidden.child.exitCode).toBeNull();
    await waitFor(async () => (await workerOf(now.hive.url, 'demo/own'))?.command?.includes('sleep'), {
      timeoutMs: 20_000,
      what: 'the command of a worker that is not hidden',
    });
    expect(now.beat.uneven()).toBeNull();
  });

  test('partition: a worker is killed while the queen is out of reach: the fact arrives after it heals, once', async () => {
    const other = createOtherHost(harness());
    const queen = await harness().queen({ under: other.under, args: ['--host', other.address, '--insecure'] });
    const stream = harness().stream(`${queen.url}/v1/events`);
    const { host, hive, beat } = await startScene(harness(), [queen.url]);
    const run = host.worker('demo', 'victim', sleeping);
    const { pid } = await workerSeen(queen, 'demo/victim');
    await sampled(hive, 'demo/victim');
    other.blackHole(true);
    beat.begin();
    process.kill(pid as number, 'SIGKILL');
    await run.ended(20_000);
    await faultNamed(hive.url, ({ source }) => source === 'queen');
    await lasts(faultSeconds);
    expect(told(stream, 'demo/victim')).not.toContain('workerExited');
    expect(beat.uneven()).toBeNull();
    other.blackHole(false);
    const exit = await waitFor(
      () =>
        stream.messages
          .map(({ data }) => data as FleetEvent)
          .find(({ kind, workerId }) => kind === 'workerExited' && workerId === 'demo/victim'),
      { timeoutMs: 40_000, what: 'the exit to be told' },
    );
    expect(exit.detail).toMatchObject({ signal: 'SIGKILL' });
    await lasts(2);
    expect(told(stream, 'demo/victim').filter((kind) => kind === 'workerExited')).toHaveLength(1);
  });
});
