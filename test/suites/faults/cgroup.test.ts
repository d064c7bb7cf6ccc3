import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FleetEvent } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import { sleeping, workerSeen } from '../../e2e/fleet.js';
import { CadenceWatch, faultGone, faultNamed } from '../../harness/cadence-watch.js';
import { cgroupSuite, createCgroupTree, joinCgroup } from '../../harness/cgroups.js';
import { mirror } from '../../harness/fuse.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { createOtherHost } from '../../harness/network.js';
import { descriptors } from '../../harness/resources.js';
import { waitFor } from '../../harness/wait.js';
import {
  eventKindsOf,
  type Happened,
  intervalMs,
  sampled,
  startFaultScenario,
  type Trial,
  withstand,
} from './fault-scenario.js';

const suite = cgroupSuite('cgroups and /proc that fail');
const snapshotOf = (url: string): Promise<Heartbeat> => getJson<Heartbeat>(`${url}/v1/snapshot`);

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();
  let children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children = [];
  });

  const workerOf = async (url: string, id: string) =>
    (await snapshotOf(url)).workers.find((worker) => worker.id === id);
  /** Removes a cgroup as soon as its processes have ended. */
  const gone = (path: string) =>
    waitFor(
      () => {
        rmdirSync(path);
        return true;
      },
      { everyMs: 5, what: `${path} to be empty` },
    );
  /** `withstand` of such a hive. */
  const trial = (
    now: Awaited<ReturnType<typeof bare>>,
    rest: Omit<Trial, 'scenario' | 'happens' | 'stream'>,
  ): Promise<void> => withstand({ scenario: now, happens: now.happens, stream: () => now.stream, ...rest });

  /** A hive over a tree of its own, whose cgroups the test makes by itself, and a queen that hears it throughout. */
  const bare = async (
    options: {
      under?: readonly string[];
      args?: readonly string[];
      env?: Readonly<Record<string, string>>;
      /** The directory in which the hive sees the tree (default: the tree itself). */
      seenAt?: (root: string) => Promise<string>;
    } = {},
  ) => {
    const queen = await harness().queen();
    const stream = harness().stream(`${queen.url}/v1/events`);
    const tree = await createCgroupTree();
    harness().defer(() => tree.dispose());
    const group = await tree.cgroup('hivepulse.slice/demo');
    const hive = await harness().hive([queen.url], {
      args: [
        ...[
          '--root',
          (await options.seenAt?.(tree.root)) ?? tree.root,
          '--runtime-dir',
          harness().directory(),
          '--no-auto',
          '--gpu',
          'none',
        ],
        ...['--id', 'alpha', '--interval', `${intervalMs}ms`, ...(options.args ?? [])],
      ],
      ...(options.under ? { under: options.under } : {}),
      ...(options.env ? { env: options.env } : {}),
    });
    const cadence = await CadenceWatch.start(harness(), hive.url, intervalMs);
    const worker = async (name: string, command: readonly string[] = [...(options.under ?? []), 'sleep', '600']) => {
      const path = join(group, name);
      mkdirSync(path);
      const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
      children.push(child);
      await joinCgroup(path, child.pid!);
      return { path, child };
    };
    const brief = await worker('brief');
    await waitFor(() => workerOf(hive.url, 'demo/brief'), { timeoutMs: 20_000, what: 'the worker that will end' });
    const happens = async (): Promise<Happened> => {
      await worker('during');
      brief.child.kill('SIGKILL');
      await gone(brief.path);
      return { started: 'demo/during', ended: 'demo/brief' };
    };
    return { tree, group, hive, cadence, worker, happens, stream };
  };

  test.each(['native', 'files'] as const)(
    'cgroup_permission_denied: %s reader: the fault names it, the others keep their figures, and all is well again once it may read',
    async (reader) => {
      // Root without the right to override permissions, as a service with a bounded set of capabilities is.
      const under = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];
      const now = await bare({ under, args: ['--reader', reader] });
      await now.worker('open');
      await waitFor(() => workerOf(now.hive.url, 'demo/open'), { timeoutMs: 20_000, what: 'the first worker' });
      const locked = join(now.group, 'locked');
      harness().defer(() => {
        if (existsSync(locked)) chmodSync(locked, 0o755);
      });
      const denied = ({ message, code }: { message: string; code: string }) =>
        /EACCES|denied|PERMISSION/i.test(code + message);
      await trial(now, {
        breakIt: async () => {
          await now.worker('locked');
          chmodSync(locked, 0);
        },
        named: async () => expect((await faultNamed(now.hive.url, denied)).source).toMatch(/cgroup|proc/),
        meanwhile: async () => expect((await workerOf(now.hive.url, 'demo/open'))?.cpuPercent).not.toBeNull(),
        fix: () => chmodSync(locked, 0o755),
        recovered: async () => {
          await waitFor(async () => ((await workerOf(now.hive.url, 'demo/locked'))?.cpuPercent ?? null) !== null, {
            // What could not be opened is tried again every 60th pass.
            timeoutMs: 60_000,
            what: 'the figures of the worker that was locked',
          });
          await faultGone(now.hive.url, denied);
        },
      });
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
      const before = descriptors(now.hive.process.pid);
      let seen = 0;
      const churn = async (round: number): Promise<void> => {
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
        await Promise.all(batch.map(({ path }) => gone(path)));
      };
      await trial(now, {
        breakIt: () => undefined,
        // That workers come and go is no fault: nothing may be named for it.
        named: () => Promise.resolve(),
        seconds: 0,
        meanwhile: async () => {
          for (let round = 0; round < 20; round += 1) await churn(round);
        },
        fix: () => undefined,
        recovered: async () => {
          expect(seen).toBeGreaterThanOrEqual(51);
          const last = await waitFor(
            async () => {
              const found = await snapshotOf(now.hive.url);
              return found.workers.length === 2 && found.workersComplete && found;
            },
            { timeoutMs: 30_000, what: 'only the workers that stay to be left' },
          );
          expect(last.workers.find(({ id }) => id === 'demo/steady')).toMatchObject({ pid: steady.child.pid });
          const stay = ['demo/steady', 'demo/during', undefined];
          expect(last.faults.filter(({ workerId }) => !stay.includes(workerId))).toEqual([]);
          await waitFor(() => descriptors(now.hive.process.pid) <= before + 12, {
            timeoutMs: 20_000,
            what: 'descriptors of cgroups that are gone to be closed',
          });
        },
      });
    },
  );

  test.each(['native', 'files'] as const)(
    'cgroup_tree_hung: %s reader: a cgroup.stat that does not return: named, other workers are still found, and whole again after',
    async (reader) => {
      const mount = harness().directory();
      let tell = async (_command: string): Promise<void> => undefined;
      const now = await bare({
        ...(reader === 'files' ? { env: { HIVEPULSE_NO_NATIVE: '1' } } : {}),
        seenAt: async (root) => {
          const seen = await mirror(root, mount);
          harness().defer(seen.close);
          tell = seen.tell;
          return mount;
        },
      });
      await now.worker('steady');
      await waitFor(() => workerOf(now.hive.url, 'demo/steady'), { timeoutMs: 20_000, what: 'the steady worker' });
      const hung = ({ code }: { code: string }) => code === 'CGROUP_TREE_STALLED';
      await trial(now, {
        breakIt: () => tell('wedge cgroup.stat'),
        named: async () => {
          expect((await faultNamed(now.hive.url, hung)).message).toContain(`${mount}/cgroup.stat`);
          expect((await snapshotOf(now.hive.url)).workersComplete).toBe(false);
        },
        meanwhile: async () => {
          await waitFor(() => workerOf(now.hive.url, 'demo/during'), {
            timeoutMs: 20_000,
            what: 'a worker that is new',
          });
          expect(await workerOf(now.hive.url, 'demo/steady')).toMatchObject({ processCount: 1 });
        },
        fix: () => tell('release'),
        recovered: async () => {
          await faultGone(now.hive.url, hung);
          await waitFor(async () => (await snapshotOf(now.hive.url)).workersComplete, {
            timeoutMs: 20_000,
            what: 'the list of workers to be complete',
          });
        },
      });
    },
  );

  test('descriptor_limit: 60 workers more than there are descriptors for: named, heartbeats go on, and all is well after', async () => {
    const now = await bare();
    const { pid } = now.hive.process;
    await now.worker('first');
    await waitFor(async () => ((await workerOf(now.hive.url, 'demo/first'))?.cpuPercent ?? null) !== null, {
      timeoutMs: 20_000,
      what: 'the first worker',
    });
    const limit = (value: string) => spawnSync('prlimit', ['--pid', String(pid), `--nofile=${value}:`]).status;
    const named = ({ code, message }: { code: string; message: string }) => /EMFILE|descriptor/i.test(code + message);
    // Read over what was open before; a new connection could not be taken.
    const watched = harness().stream(`${now.hive.url}/v1/events`);
    await watched.next(({ event }) => event === 'snapshot');
    const figures = ({ workers }: Heartbeat) => workers.filter(({ cpuPercent }) => cpuPercent !== null).length;
    await trial(now, {
      breakIt: async () => {
        // Room for a few more: some of what follows cannot be opened.
        expect(limit(String(descriptors(pid) + 3))).toBe(0);
        await Promise.all(Array.from({ length: 60 }, (_, i) => now.worker(`w${i}`)));
      },
      named: () =>
        waitFor(
          () =>
            watched.messages
              .filter(({ event }) => event === 'snapshot')
              .map(({ data }) => data as Heartbeat)
              .some((heartbeat) => figures(heartbeat) === 62 || heartbeat.faults.some(named)),
          { timeoutMs: 20_000, what: 'all workers with figures, or the limit named' },
        ),
      fix: () => expect(limit('20000')).toBe(0),
      recovered: () =>
        waitFor(
          async () => {
            const cadence = await snapshotOf(now.hive.url);
            // 60, the first, and the one that came meanwhile.
            return figures(cadence) === 62 && !cadence.faults.some(named);
          },
          { timeoutMs: 30_000, what: 'figures of all workers once there are descriptors' },
        ),
    });
  });

  test('proc_hidepid: processes of others are hidden: cgroup figures stay, what is not known is null', async () => {
    const proc = harness().directory();
    const mounted = spawnSync('mount', ['-t', 'proc', '-o', 'hidepid=invisible,gid=65533', 'proc', proc], {
      encoding: 'utf8',
    });
    expect(mounted.stderr).toBe('');
    harness().defer(() => void spawnSync('umount', ['-l', proc]));
    const under = ['setpriv', '--bounding-set', '-sys_ptrace'];
    // By itself a hive shows no command lines where /proc hides processes.
    const now = await bare({ under, args: ['--proc-root', proc, '--commands', 'safe'] });
    const other = ['setpriv', '--reuid', '65534', '--clear-groups', 'sleep', '600'];
    await trial(now, {
      breakIt: () => undefined,
      // What is not known is null, and a fault says why.
      named: async () => {
        const hidden = await now.worker('hidden', other);
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
        const fault = await waitFor(
          async () => (await snapshotOf(now.hive.url)).faults.find(({ code }) => code === 'PROC_UNREADABLE'),
          { timeoutMs: 20_000, what: 'the fault that says why' },
        );
        expect(fault).toMatchObject({ source: 'proc', workerId: 'demo/hidden', field: 'command' });
        expect(fault.message).toContain('hidepid=0');
        expect(hidden.child.exitCode).toBeNull();
      },
      fix: () => undefined,
      recovered: async () => {
        await waitFor(async () => (await workerOf(now.hive.url, 'demo/during'))?.command?.includes('sleep'), {
          timeoutMs: 20_000,
          what: 'the command of a worker that is not hidden',
        });
        const { faults } = await snapshotOf(now.hive.url);
        expect(faults.filter(({ workerId }) => workerId === 'demo/during')).toEqual([]);
      },
    });
  });

  test('partition: a worker is killed while the queen is out of reach: the fact arrives after it heals, once', async () => {
    const other = createOtherHost(harness());
    const queen = await harness().queen({ under: other.under, args: ['--host', other.address, '--insecure'] });
    const stream = harness().stream(`${queen.url}/v1/events`);
    const scenario = await startFaultScenario(harness(), [queen.url]);
    const { host, hive } = scenario;
    const run = host.worker('demo', 'victim', sleeping);
    const { pid } = await workerSeen(queen, 'demo/victim');
    await sampled(hive, 'demo/victim');
    await withstand({
      scenario,
      breakIt: () => other.blackHole(true),
      named: () => faultNamed(hive.url, ({ source }) => source === 'queen'),
      happens: async () => {
        process.kill(pid as number, 'SIGKILL');
        await run.ended(20_000);
        return { ended: 'demo/victim' };
      },
      meanwhile: () => expect(eventKindsOf(stream, 'demo/victim')).not.toContain('workerExited'),
      fix: () => other.blackHole(false),
      recovered: () => faultGone(hive.url, ({ source }) => source === 'queen', 40_000),
      stream: () => stream,
    });
    const exit = stream.messages
      .map(({ data }) => data as FleetEvent)
      .find(({ kind, workerId }) => kind === 'workerExited' && workerId === 'demo/victim');
    expect(exit?.detail).toMatchObject({ signal: 'SIGKILL' });
  });
});
