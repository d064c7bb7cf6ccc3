import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inodeOf } from '../../../../lib/launch/cgroup-tree.js';
import { findWorkerHome, locateWorker } from '../../../../lib/launch/launch.js';
import { findLauncher } from '../../../../lib/launch/launcher.js';
import { type OomKill, ProcessMonitor, type SpawnOptions } from '../../../../lib/launch/process-monitor.js';
import { createSampler } from '../../../../lib/sampling/open.js';
import { readRecords } from '../../../../lib/workers/records.js';
import { waitFor } from '../../../harness/wait.js';
import { textOf } from '../../../harness/worker-suite.js';
import { runTool } from './run-tool.js';

let dir: string;
let monitor: ProcessMonitor;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-scope-'));
  monitor = new ProcessMonitor({ runtimeDir: dir, oomIntervalMs: 20 });
});
afterEach(async () => {
  for (const { group, instance } of (await readRecords(dir)).running)
    await monitor.stop(`${group}/${instance}`, { graceMs: 0 });
  await waitFor(() => monitor.spawned().length === 0);
  await monitor.close();
  await rm(dir, { recursive: true, force: true });
});

const group = 'my-group';
const scope = 'hivepulse-my\\x2dgroup-one.scope';
const path = `/sys/fs/cgroup/hivepulse.slice/hivepulse-my\\x2dgroup.slice/${scope}`;
const sh = (script: string, over: Partial<SpawnOptions> = {}) =>
  monitor.spawn({
    group,
    instance: 'one',
    command: 'sh',
    args: ['-c', script],
    stdio: ['ignore', 'pipe', 'pipe'],
    ...over,
  });
const show = async (property: string) =>
  (await runTool('systemctl', ['show', '-p', property, '--value', scope], 30_000)).stdout.trim();

describe('systemd_scope_lifecycle', () => {
  it('systemd_scope_lifecycle: started in a scope of its own, limited by unit properties, stopped, and nothing stays', async () => {
    const worker = await sh('exec sleep 600', {
      cpu: '50%',
      memory: '64M',
      memoryHigh: '60M',
      swap: '0',
      pids: 20,
    });
    expect(worker).toMatchObject({ owner: 'systemd', cgroupPath: path, notApplied: [] });
    expect(await readFile(join(path, 'cgroup.procs'), 'utf8')).toBe(`${worker.pid}\n`);
    const held = Object.fromEntries(
      await Promise.all(
        ['cpu.max', 'memory.max', 'memory.high', 'memory.swap.max', 'pids.max'].map(
          async (file) => [file, (await readFile(join(path, file), 'utf8')).trim()] as const,
        ),
      ),
    );
    expect(held).toEqual({
      'cpu.max': '50000 100000',
      'memory.max': String(64 * 2 ** 20),
      'memory.high': String(60 * 2 ** 20),
      'memory.swap.max': '0',
      'pids.max': '20',
    });
    expect(await show('ActiveState')).toBe('active');
    expect(await show('MemoryMax')).toBe(String(64 * 2 ** 20));
    expect(await show('Slice')).toBe('hivepulse-my\\x2dgroup.slice');
    expect((await readRecords(dir)).running).toMatchObject([{ unit: scope, owner: 'systemd', cgroup: path }]);

    expect(await monitor.stop(worker.id)).toEqual({ id: 'my-group/one', signalled: 1, killed: false });
    expect(await worker.exited).toMatchObject({ signal: 'SIGTERM', remaining: 0 });
    expect(await inodeOf(path)).toBeNull();
    await waitFor(async () => (await show('LoadState')) === 'not-found');
    expect((await readRecords(dir)).running).toEqual([]);
  });

  it('systemd_scope_lifecycle: no cgroup of ours is inside the tree of systemd', async () => {
    await sh('exec sleep 600');
    const slices = readdirSync('/sys/fs/cgroup/hivepulse.slice', { withFileTypes: true });
    const dirs = slices.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(dirs.every((name) => name.endsWith('.slice'))).toBe(true);
  });

  it.each([
    { name: 'native launcher', launcher: findLauncher() },
    { name: 'sh launcher', launcher: null },
  ])(
    'the command runs as it was given, and its messages are told from those of systemd-run ($name)',
    async ({ launcher }) => {
      const own = new ProcessMonitor({ runtimeDir: dir, launch: { launcher, nofile: 512 } });
      const worker = await own.spawn({
        group,
        instance: 'one',
        command: 'sh',
        args: ['-c', 'cat /proc/self/cgroup; echo "$1|$X|$PWD|$(ulimit -n)"; echo oops >&2; exit 127', 'sh', "a 'b"],
        env: { PATH: process.env.PATH, X: 'y' },
        cwd: '/tmp',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const [out, err] = await Promise.all([textOf(worker.stdout), textOf(worker.stderr)]);
      expect(out).toContain(`0::${path.slice('/sys/fs/cgroup'.length)}\n`);
      expect(out).toContain("a 'b|y|/tmp|512\n");
      expect(err).toBe('oops\n');
      expect(await worker.exited).toMatchObject({ code: 127, signal: null });
      await own.close();
    },
  );

  it.each(['ignore', 'inherit'] as const)('the command has a stderr where stdio is %s', async (stdio) => {
    const worker = await sh('test -e /proc/self/fd/2 && ! test -e /proc/self/fd/4 && exit 42', { stdio });
    expect(await worker.exited).toMatchObject({ code: 42 });
  });

  it('spawn_invalid_binary: named, and no scope is left behind', async () => {
    await expect(sh('', { command: '/nope', args: [] })).rejects.toMatchObject({ code: 'EXEC_NOT_FOUND' });
    await expect(sh('', { command: '/etc/passwd', args: [] })).rejects.toMatchObject({ code: 'EXEC_NOT_PERMITTED' });
    expect(await inodeOf(path)).toBeNull();
    expect((await readRecords(dir)).running).toEqual([]);
  });

  it('an occupied instance is refused, by its record and by systemd itself', async () => {
    await sh('exec sleep 600');
    await expect(sh('true')).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED' });
    const elsewhere = new ProcessMonitor({ runtimeDir: join(dir, 'other') });
    await expect(elsewhere.spawn({ group, instance: 'one', command: 'true' })).rejects.toMatchObject({
      code: 'INSTANCE_OCCUPIED',
    });
    await elsewhere.close();
  });

  it('children that re-parented are told of and go with stop, found by the scope alone', async () => {
    const worker = await sh('setsid sleep 600 >/dev/null 2>&1 & exit 0');
    expect(await worker.exited).toMatchObject({ code: 0, remaining: 1 });
    const elsewhere = new ProcessMonitor({ runtimeDir: join(dir, 'other') });
    expect(await locateWorker(await findWorkerHome(undefined), group, 'one')).toBe(path);
    expect(await elsewhere.stop('my-group/one')).toMatchObject({ signalled: 1 });
    expect(await inodeOf(path)).toBeNull();
    expect(await monitor.cleanStale()).toEqual(['my-group/one']);
    await elsewhere.close();
  });

  it('a command that ended before its scope was read leaves no child unseen', async () => {
    const procRoot = join(dir, 'proc-without-it');
    const own = new ProcessMonitor({ runtimeDir: dir, launch: { procRoot } });
    const spawn = (script: string) =>
      own.spawn({ group, instance: 'one', command: 'sh', args: ['-c', script], stdio: 'ignore', memory: '64M' });
    const alone = await spawn('exit 3');
    expect(await alone.exited).toMatchObject({ code: 3, remaining: 0 });
    expect(alone.notApplied).toEqual([]);
    await waitFor(async () => (await show('LoadState')) === 'not-found');
    const parent = await spawn('setsid sleep 600 & exit 0');
    expect(parent.cgroupPath).toBe(path);
    expect(await parent.exited).toMatchObject({ code: 0, remaining: 1 });
    expect(await own.stop(parent.id)).toMatchObject({ signalled: 1 });
    expect(await inodeOf(path)).toBeNull();
    await own.close();
  });

  it('a hog is killed inside its scope, the event arrives, and the worker lives on', async () => {
    const kill = new Promise<OomKill>((resolve) => monitor.once('oomKill', resolve));
    const worker = await sh('tail /dev/zero; read go; exit 5', { memory: '32M', swap: '0', stdio: 'pipe' });
    expect(await kill).toMatchObject({ id: 'my-group/one', kills: 1, total: 1 });
    worker.stdin?.end('go\n');
    expect(await worker.exited).toMatchObject({ code: 5 });
  });

  it('oomGroup holds, or is said not to: never silent', async () => {
    const worker = await sh('exec sleep 600', { oomGroup: true });
    const held = (await readFile(join(path, 'memory.oom.group'), 'utf8')).trim() === '1';
    expect(worker.notApplied.map(({ name }) => name)).toEqual(held ? [] : ['oomGroup']);
  });

  it('the sampler knows the worker of a scope by its name and record', async () => {
    const worker = await sh('exec sleep 600', { model: 'm', labels: { a: 'b' }, memory: '64M' });
    const sampler = await createSampler({ runtimeDir: dir, gpu: 'none' });
    const sample = (await sampler.sample()).workers.find(({ id }) => id === worker.id);
    expect(sample).toMatchObject({
      group,
      instance: 'one',
      pid: worker.pid,
      model: 'm',
      labels: { a: 'b' },
      memoryLimitBytes: 64 * 2 ** 20,
      origin: 'launched',
    });
    await sampler.close();
  });
});

describe('without a manager of ours', () => {
  it('cgroup_permission_denied: a user without a session is told what to do', async () => {
    expect(existsSync('/run/systemd/system')).toBe(true);
    await expect(findWorkerHome(undefined, '/proc', 65_534, {})).rejects.toMatchObject({
      code: 'CGROUP_PERMISSION_DENIED',
      message: expect.stringMatching(/linger.*--root/),
    });
  });
});
