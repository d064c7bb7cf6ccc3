import { readdirSync } from 'node:fs';
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inodeOf, isPopulated, processesIn } from '../../../lib/launch/cgroup-tree.js';
import { processLives, processStat } from '../../../lib/procfs/process-stat.js';
import { readRecords } from '../../../lib/workers/records.js';
import { joinCgroup, readFlat } from '../../harness/cgroups.js';
import { waitFor } from '../../harness/wait.js';
import { firstLine, useWorkerBench } from '../../harness/worker-suite.js';

const bench = useWorkerBench();
const nobody = 65_534;

/** Runs `work` with the effective rights of nobody. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([]);
  process.setegid?.(nobody);
  process.seteuid?.(nobody);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}

describe('rights', () => {
  it('cgroup_permission_denied: an unprivileged user without a manager is told how to get delegation; nothing is half-made', async () => {
    const runtimeDir = join(bench().runtimeDir, 'nobody');
    await mkdir(runtimeDir);
    await chown(bench().runtimeDir, nobody, nobody);
    await chown(runtimeDir, nobody, nobody);
    const monitor = bench().another({ runtimeDir });
    const error = await asNobody(() =>
      monitor
        .spawn({ group: 'g', instance: 'i', command: 'sleep', args: ['60'], memory: '64M' })
        .catch((thrown) => thrown),
    );
    expect(error).toMatchObject({
      code: 'CGROUP_PERMISSION_DENIED',
      subject: join(bench().tree.root, 'hivepulse.slice/g/i'),
    });
    expect(error.message).toMatch(/--root/);
    expect(error.message).toMatch(/deleg/);
    expect(await inodeOf(join(bench().tree.root, 'hivepulse.slice'))).toBeNull();
    const { running, ended } = await readRecords(runtimeDir);
    expect([...running, ...ended]).toEqual([]);
  });

  it('cgroup_permission_denied: a subtree that was delegated, but from outside of it, cannot be joined; it is left clean', async () => {
    const root = await bench().tree.cgroup('delegated');
    for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'])
      await chown(join(root, file), nobody, nobody);
    const runtimeDir = join(bench().runtimeDir, 'nobody');
    await mkdir(runtimeDir);
    await chown(bench().runtimeDir, nobody, nobody);
    await chown(runtimeDir, nobody, nobody);
    const monitor = bench().another({ root, runtimeDir });
    const error = await asNobody(() =>
      monitor.spawn({ group: 'g', instance: 'i', command: 'sleep', args: ['60'] }).catch((thrown) => thrown),
    );
    expect(error).toMatchObject({ code: 'CGROUP_PERMISSION_DENIED' });
    expect(await inodeOf(join(root, 'hivepulse.slice'))).toBeNull();
  });

  it('in a subtree that was delegated to it, from within, an unprivileged user starts and stops workers under limits', async () => {
    const root = await bench().tree.cgroup('delegated');
    const leaf = join(root, 'shell');
    await mkdir(leaf);
    for (const path of [root, leaf]) {
      for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'])
        await chown(join(path, file), nobody, nobody);
    }
    const runtimeDir = join(bench().runtimeDir, 'nobody');
    await mkdir(runtimeDir);
    await chown(bench().runtimeDir, nobody, nobody);
    await chown(runtimeDir, nobody, nobody);
    const own = /^0::(.*)$/m.exec(await readFile('/proc/self/cgroup', 'utf8'))?.[1] as string;
    await joinCgroup(leaf, process.pid);
    try {
      const monitor = bench().another({ root, runtimeDir });
      await asNobody(async () => {
        const worker = await monitor.spawn({
          group: 'g',
          instance: 'i',
          command: 'sleep',
          args: ['60'],
          memory: '64M',
          pids: 10,
        });
        expect(worker.notApplied).toEqual([]);
        expect(await processesIn(worker.cgroupPath as string)).toEqual([worker.pid]);
        expect(await readFile(join(worker.cgroupPath as string, 'memory.max'), 'utf8')).toBe(`${64 * 2 ** 20}\n`);
        expect(await monitor.stop('g/i')).toMatchObject({ signalled: 1 });
      });
      expect(await inodeOf(join(root, 'hivepulse.slice'))).toBeNull();
    } finally {
      await joinCgroup(join('/sys/fs/cgroup', own), process.pid);
    }
  });
});

describe('cgroups in odd states', () => {
  it('threaded cgroups: a worker that made some inside its own is counted and stopped whole', async () => {
    const worker = await bench().sh('exec sleep 600');
    const dir = worker.cgroupPath as string;
    const threads = join(dir, 'threads');
    await mkdir(threads);
    await writeFile(join(threads, 'cgroup.type'), 'threaded');
    await writeFile(join(threads, 'cgroup.threads'), String(worker.pid));
    await expect(readFile(join(threads, 'cgroup.procs'))).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTSUP|EOPNOTSUPP/),
    });
    expect(await processesIn(dir)).toEqual([worker.pid]);
    expect(await bench().monitor.stop(worker.id, { graceMs: 2000 })).toMatchObject({ signalled: 1, killed: false });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('zombies: a child that nobody waits for keeps neither the worker nor its cgroup alive', async () => {
    const worker = await bench().sh('sh -c "exit 0" & echo $!; exec sleep 600');
    const zombie = Number(await firstLine(worker.stdout));
    await waitFor(async () => (await processStat(zombie))?.state === 'Z');
    expect(await processesIn(worker.cgroupPath as string)).toEqual([worker.pid]);
    expect(await processLives(zombie, (await processStat(zombie))?.startTicks ?? null)).toBe(false);
    await bench().monitor.stop(worker.id);
    expect(await bench().leftovers()).toEqual([]);
  });

  it('cgroup removed between open and read: it is gone, not an error', async () => {
    const dir = await bench().tree.cgroup('gone');
    const { open, rmdir } = await import('node:fs/promises');
    const kept = await open(join(dir, 'cgroup.events'));
    await rmdir(dir);
    await expect(kept.read()).rejects.toMatchObject({ code: 'ENODEV' });
    await kept.close();
    expect(await isPopulated(dir)).toBeNull();
    expect(await processesIn(dir)).toEqual([]);
  });

  it('a frozen worker is stopped all the same', async () => {
    const worker = await bench().sh('exec sleep 600');
    await writeFile(join(worker.cgroupPath as string, 'cgroup.freeze'), '1');
    expect(await bench().monitor.stop(worker.id, { graceMs: 100 })).toMatchObject({ signalled: 1 });
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(false);
    expect(await bench().leftovers()).toEqual([]);
  });

  it('a worker that made cgroups of its own is removed with them', async () => {
    const worker = await bench().sh('exec sleep 600');
    const inner = join(worker.cgroupPath as string, 'a/b');
    await mkdir(inner, { recursive: true });
    await joinCgroup(inner, worker.pid);
    expect(await bench().monitor.stop(worker.id)).toMatchObject({ signalled: 1 });
    expect(await bench().leftovers()).toEqual([]);
  });
});

// Each takes a second and a half where QEMU emulates the CPU or the kernel is a user-mode one; what leaks once in a spawn shows in
// 60 as well.
const spawns = /TCG|^UML/.test(cpus()[0]?.model ?? '') ? 60 : 200;

describe('many', () => {
  it(`${spawns} spawns and stops in a row leave no descriptor, cgroup or process`, async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const cycle = async (i: number) => {
      const worker = await bench().monitor.spawn({
        group: 'many',
        instance: `i${i % 3}`,
        command: 'sleep',
        args: ['60'],
        stdio: 'ignore',
        memory: '64M',
      });
      await bench().monitor.stop(worker.id);
      return worker.pid;
    };
    await cycle(0);
    const before = { descriptors: descriptors(), ...(await readFlat(join(bench().tree.root, 'cgroup.stat'))) };
    const pids: number[] = [];
    for (let i = 0; i < spawns; i += 1) pids.push(await cycle(i));
    expect(pids).toHaveLength(spawns);
    await waitFor(() => descriptors() <= before.descriptors, { what: 'descriptors to be closed' });
    const after = await readFlat(join(bench().tree.root, 'cgroup.stat'));
    expect(after.nr_descendants).toBe(0);
    // Removed cgroups are freed by the kernel in its own time; they must not pile up.
    await waitFor(
      async () => (await readFlat(join(bench().tree.root, 'cgroup.stat'))).nr_dying_descendants! < spawns / 4,
      {
        timeoutMs: 30_000,
        what: 'removed cgroups to be freed',
      },
    );
    for (const pid of pids) expect(await processStat(pid)).toBeNull();
    expect(await bench().leftovers()).toEqual([]);
    expect((await readRecords(bench().runtimeDir)).running).toEqual([]);
  }, 900_000);
});
