import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { processesIn } from '../../../lib/launch/cgroup-tree.js';
import type { ExitedWorker, OomKill, SpawnedWorker } from '../../../lib/launch/process-monitor.js';
import { processLives } from '../../../lib/procfs/process-stat.js';
import { joinCgroup, readFlat } from '../../harness/cgroups.js';
import { waitFor } from '../../harness/wait.js';
import { firstLine, useWorkerBench } from '../../harness/worker-suite.js';

const bench = useWorkerBench();
const control = async (worker: SpawnedWorker, file: string) =>
  (await readFile(join(worker.cgroupPath as string, file), 'utf8')).trim();
const busy = 'while :; do :; done';

describe('cpu', () => {
  it('spawn_applies_cpu_limit: 200% is 200000 of 100000', async () => {
    const worker = await bench().sh('exec sleep 600', { cpu: '200%' });
    expect(worker.notApplied).toEqual([]);
    expect(await control(worker, 'cpu.max')).toBe('200000 100000');
  });

  it('spawn_applies_cpu_limit: at 50% a busy loop is throttled and uses half of its wall time', async () => {
    const worker = await bench().sh(busy, { cpu: '50%' });
    const look = async () => {
      const stat = await readFlat(join(worker.cgroupPath as string, 'cpu.stat'));
      return {
        usage: stat.usage_usec!,
        periods: stat.nr_periods!,
        throttled: stat.nr_throttled!,
        us: performance.now() * 1000,
      };
    };
    type Look = Awaited<ReturnType<typeof look>>;
    const shares: number[] = [];
    /** Share of wall time over the next `periods` periods. A host that starves the guest may only make it smaller. */
    const window = async (first: Look, periods: number): Promise<Look> => {
      const last = await waitFor(
        async () => {
          const now = await look();
          return now.periods - first.periods >= periods ? now : null;
        },
        { timeoutMs: 60_000 },
      );
      shares.push((last.usage - first.usage) / (last.us - first.us));
      return last;
    };
    const start = await look();
    let last = await window(start, 5);
    shares.length = 0;
    while (shares.length < 12 && !shares.some((share) => share > 0.475 && share < 0.525)) last = await window(last, 25);
    expect(shares.at(-1), `shares of wall time: ${shares.join(' ')}`).toBeGreaterThan(0.475);
    for (const share of shares) expect(share).toBeLessThan(0.525);
    expect((last.throttled - start.throttled) / (last.periods - start.periods)).toBeGreaterThan(0.5);
  });

  it('a share under one percent is given a longer period, and holds', async () => {
    const worker = await bench().sh('exec sleep 600', { cpu: '0.5%' });
    expect(await control(worker, 'cpu.max')).toBe('1000 200000');
    expect(worker.notApplied).toEqual([]);
  });
});

describe('memory', () => {
  it('spawn_applies_memory_limit: 1G is 1073741824, and the others stand beside it', async () => {
    const worker = await bench().sh('exec sleep 600', { memory: '1G', memoryHigh: '900M', swap: '0', oomGroup: true });
    expect(worker.notApplied).toEqual([]);
    expect(await control(worker, 'memory.max')).toBe('1073741824');
    expect(await control(worker, 'memory.high')).toBe('943718400');
    expect(await control(worker, 'memory.swap.max')).toBe('0');
    expect(await control(worker, 'memory.oom.group')).toBe('1');
  });

  it('spawn_applies_memory_limit: a hog beyond its limit is killed inside its own cgroup, and the event arrives', async () => {
    const neighbour = await bench().sh('exec sleep 600', { instance: 'neighbour', memory: '32M' });
    const events: OomKill[] = [];
    const exits: ExitedWorker[] = [];
    bench().monitor.on('oomKill', (event) => events.push(event));
    bench().monitor.on('exited', (event) => exits.push(event));
    const hog = await bench().sh('exec tail /dev/zero', { instance: 'hog', memory: '32M', swap: '0' });
    const exited = await hog.exited;
    expect(exited).toMatchObject({ id: 'test/hog', code: null, signal: 'SIGKILL' });
    expect(exited.oomKills).toBeGreaterThanOrEqual(1);
    expect(events).toEqual([
      { id: 'test/hog', at: expect.any(String), kills: exited.oomKills, total: exited.oomKills },
    ]);
    expect(exits).toEqual([exited]);
    expect(await processLives(neighbour.pid, neighbour.record.startTicks)).toBe(true);
    expect(await control(neighbour, 'memory.events')).toContain('oom_kill 0');
  });

  it('the event of a child that is killed arrives while the worker lives on', async () => {
    const worker = await bench().sh('tail /dev/zero; echo "child $?"; exec sleep 600', { memory: '32M', swap: '0' });
    const kill = new Promise<OomKill>((resolve) => bench().monitor.once('oomKill', resolve));
    expect(await firstLine(worker.stdout)).toBe('child 137');
    expect(await kill).toMatchObject({ id: 'test/one', kills: 1, total: 1 });
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(true);
  });

  it('with oomGroup the worker is killed whole', async () => {
    const worker = await bench().sh('sleep 600 & tail /dev/zero & wait', { memory: '32M', swap: '0', oomGroup: true });
    expect(await worker.exited).toMatchObject({ signal: 'SIGKILL', remaining: 0 });
  });
});

describe('pids, io', () => {
  it('pids: no more processes than allowed', async () => {
    const worker = await bench().sh('for i in 1 2 3 4 5 6; do sleep 600 & done; echo done; wait', { pids: 4 });
    expect(await control(worker, 'pids.max')).toBe('4');
    await waitFor(async () => (await readFlat(join(worker.cgroupPath as string, 'pids.events'))).max! > 0);
    expect((await processesIn(worker.cgroupPath as string)).length).toBeLessThanOrEqual(4);
  });

  const disk = readdirSync('/sys/block').find((name) => /^(vd|sd|nvme|xvd|ubd)/.test(name)) as string;
  it('io: the limits of a device, by path and by number', async () => {
    const number = readFileSync(`/sys/block/${disk}/dev`, 'utf8').trim();
    const worker = await bench().sh('exec sleep 600', { io: [`/dev/${disk} wbps=1M riops=100`] });
    expect(worker.notApplied).toEqual([]);
    expect(await control(worker, 'io.max')).toBe(`${number} rbps=max wbps=1048576 riops=100 wiops=max`);
    const other = await bench().sh('exec sleep 600', { instance: 'two', io: [`${number} rbps=2M`] });
    expect(await control(other, 'io.max')).toBe(`${number} rbps=2097152 wbps=max riops=max wiops=max`);
  });

  it('io: a device that is not there is refused by name', async () => {
    await expect(bench().sh('true', { io: ['/dev/nope rbps=1M'] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      subject: '--io',
    });
    await expect(bench().sh('true', { io: ['4095:1 rbps=1M'] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      subject: '--io',
    });
    expect(await bench().leftovers()).toEqual([]);
  });
});

describe('what earlier runs and others left', () => {
  it('limits of an earlier run under the name do not hold for the next', async () => {
    const first = await bench().sh('exec sleep 600', { memory: '64M', cpu: '10%', pids: 5 });
    expect(await control(first, 'memory.max')).toBe(String(64 * 2 ** 20));
    await bench().monitor.stop(first.id);
    const second = await bench().sh('exec sleep 600');
    expect(await control(second, 'memory.max')).toBe('max');
    expect(await control(second, 'cpu.max')).toBe('max 100000');
    expect(await control(second, 'pids.max')).toBe('max');
  });

  it('a cgroup left behind with limits and children of its own is made anew', async () => {
    const dir = await bench().tree.cgroup('hivepulse.slice/test/one');
    await writeFile(join(dir, 'memory.max'), '8M');
    await mkdir(join(dir, 'sub'));
    const worker = await bench().sh('exec sleep 600');
    expect(worker.cgroupPath).toBe(dir);
    expect(await control(worker, 'memory.max')).toBe('max');
    await expect(readFile(join(dir, 'sub/cgroup.procs'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('a root that holds processes itself hands on no controllers: nothing is moved, the limits are reported', async () => {
    const root = await bench().tree.cgroup('shared');
    const resident = await bench().sh('exec sleep 600', { instance: 'resident' });
    await joinCgroup(root, resident.pid);
    const worker = await bench()
      .another({ root })
      .spawn({ group: 'g', instance: 'i', command: 'sleep', args: ['60'], memory: '64M' });
    expect(worker.notApplied).toMatchObject([{ name: 'memory' }]);
    expect(worker.notApplied[0]?.message).toContain(`${root} holds processes itself`);
    expect(await readFile(join(root, 'cgroup.procs'), 'utf8')).toBe(`${resident.pid}\n`);
    expect(await processesIn(worker.cgroupPath as string)).toEqual([worker.pid]);
    process.kill(resident.pid, 'SIGKILL');
    await resident.exited;
    await worker.child.kill('SIGKILL');
    await worker.exited;
    await waitFor(() => rmdir(root).then(() => true));
  });
});
