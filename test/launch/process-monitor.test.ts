import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { pidusageCollector } from '../../lib/launch/fallback-collect.js';
import { type ExitedWorker, ProcessMonitor } from '../../lib/launch/process-monitor.js';
import { processLives } from '../../lib/procfs/process-stat.js';
import type { RunningSampler } from '../../lib/sampling/create.js';
import { readRecords, type WorkerRecord } from '../../lib/workers/records.js';
import { waitFor } from '../harness/wait.js';
import { textOf } from '../harness/worker-suite.js';

let dir: string;
let monitor: ProcessMonitor;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-fallback-'));
  monitor = new ProcessMonitor({ platform: 'darwin', runtimeDir: dir });
});
afterEach(async () => {
  for (const id of await monitor.enumerate()) await monitor.stop(id, { graceMs: 0 });
  await monitor.close();
  await rm(dir, { recursive: true, force: true });
});

const busy = {
  group: 'mac',
  instance: 'one',
  command: process.execPath,
  args: ['-e', 'for(;;);'],
  stdio: 'ignore' as const,
};

describe('where there are no cgroups', () => {
  it('spawn_fallback_on_non_linux: a plain process, every limit reported as not applied', async () => {
    const worker = await monitor.spawn({
      ...busy,
      args: ['-e', 'setTimeout(() => {}, 1e6)'],
      cpu: '50%',
      memory: '1G',
      io: ['/dev/disk0 rbps=1M'],
    });
    expect(worker).toMatchObject({ id: 'mac/one', owner: 'none', cgroupPath: null });
    expect(await processLives(worker.pid, null)).toBe(true);
    expect(worker.notApplied.map(({ name }) => name).sort()).toEqual(['cpu', 'io', 'memory']);
    for (const { code, message } of worker.notApplied) {
      expect(code).toBe('LIMIT_NOT_APPLIED');
      expect(message).toContain('darwin');
    }
    const exited = new Promise<ExitedWorker>((resolve) => monitor.once('exited', resolve));
    expect(await monitor.stop('mac/one')).toEqual({ id: 'mac/one', signalled: 1, killed: false });
    expect(await exited).toMatchObject({ id: 'mac/one', pid: worker.pid, code: null, signal: 'SIGTERM', remaining: 0 });
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(false);
    expect(await monitor.enumerate()).toEqual([]);
  });

  it('spawn_fallback_on_non_linux: limits are still checked, names and commands as well', async () => {
    await expect(monitor.spawn({ ...busy, cpu: '-5%' })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      subject: '--cpu',
    });
    await expect(monitor.spawn({ ...busy, command: '/nope' })).rejects.toMatchObject({ code: 'EXEC_NOT_FOUND' });
    await expect(monitor.spawn({ ...busy, command: '/etc/passwd' })).rejects.toMatchObject({
      code: 'EXEC_NOT_PERMITTED',
    });
    // The kernel takes 128 KiB an argument.
    await expect(monitor.spawn({ ...busy, args: ['x'.repeat(200_000)] })).rejects.toMatchObject({
      code: 'LAUNCH_FAILED',
      subject: 'node',
      message: expect.stringContaining('E2BIG'),
    });
    await monitor.spawn(busy);
    await expect(monitor.spawn(busy)).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED' });
  });

  it('spawn_fallback_on_non_linux: what a short command wrote is kept for the caller', async () => {
    const worker = await monitor.spawn({
      ...busy,
      command: 'sh',
      args: ['-c', 'echo out; echo err >&2; exit 4'],
      stdio: 'pipe',
    });
    expect(await worker.exited).toMatchObject({ code: 4 });
    expect([await textOf(worker.stdout), await textOf(worker.stderr)]).toEqual(['out\n', 'err\n']);
    expect((await readRecords(dir)).ended).toMatchObject([{ group: 'mac', exit: { code: 4, oomKills: null } }]);
  });

  it('collect_fallback_on_non_linux: CPU and memory come from pidusage, all that a cgroup alone can tell is null', async () => {
    const worker = await monitor.spawn({ ...busy, model: 'm', port: 8080, labels: { a: 'b' } });
    const [first] = await monitor.collect();
    expect(first).toMatchObject({
      id: 'mac/one',
      pid: worker.pid,
      model: 'm',
      port: 8080,
      labels: { a: 'b' },
      cpuPercent: null,
      state: 'starting',
    });
    const sample = (await waitFor(async () => {
      const [next] = await monitor.collect();
      return next?.cpuPercent != null && next.cpuPercent > 20 ? next : null;
    })) as WorkerSample;
    expect(sample.memoryBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(sample).toMatchObject({
      memorySource: 'proc',
      cpuLimitPercent: null,
      oomKills: null,
      pressure: { cpu: null, memory: null, io: null },
    });
    expect(await monitor.enumerate()).toEqual(['mac/one']);
  });

  it('collect_fallback_on_non_linux: a process that is gone is left out, and costs the others nothing', async () => {
    const record = (pid: number) =>
      ({
        group: 'g',
        instance: `i${pid}`,
        pid,
        startedAt: '2026-01-01T00:00:00.000Z',
        labels: {},
        model: null,
        port: null,
        reservationId: null,
      }) as unknown as WorkerRecord;
    const collect = pidusageCollector(async (pid) => {
      if (pid === 2) throw new Error('No matching pid found');
      return { cpu: 12.345, memory: 1000, elapsed: 5000 };
    });
    expect((await collect([1, 2, 3].map(record))).map(({ id }) => id)).toEqual(['g/i1', 'g/i3']);
    expect((await collect([1].map(record)))[0]).toMatchObject({
      cpuPercent: 12.35,
      uptimeSeconds: 5,
      memoryBytes: 1000,
    });
  });
});

describe('ProcessMonitor', () => {
  it('asks the sampler it was given for workers and samples, and leaves it open', async () => {
    const sampler = { sample: async () => ({ workers: [{ id: 'a/b' }] }) } as unknown as RunningSampler;
    const linux = new ProcessMonitor({ platform: 'linux', runtimeDir: dir, sampler });
    expect(await linux.enumerate()).toEqual(['a/b']);
    expect(await linux.collect()).toEqual([{ id: 'a/b' }]);
    await linux.close();
  });

  it('without one it opens its own on the root given', async () => {
    const linux = new ProcessMonitor({
      platform: 'linux',
      runtimeDir: dir,
      root: join(dir, 'no-such-tree'),
      sampler: { auto: false, gpu: 'none' },
    });
    expect(await linux.enumerate()).toEqual([]);
    await linux.close();
    await linux.close();
  });

  it('an aborted signal starts nothing', async () => {
    await expect(monitor.spawn({ ...busy, signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    await expect(monitor.collect(AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect(await monitor.enumerate()).toEqual([]);
  });

  it('close may be called twice, and the workers live on', async () => {
    const worker = await monitor.spawn({ ...busy, args: ['-e', 'setTimeout(() => {}, 1e6)'] });
    await monitor.close();
    await monitor.close();
    expect(await processLives(worker.pid, null)).toBe(true);
  });
});
