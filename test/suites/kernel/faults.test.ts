import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FleetEvent, WorkerView } from '../../../lib/contract/api.js';
import { defaults } from '../../../lib/contract/defaults.js';
import { type Queen, startQueen } from '../../../lib/daemon/queen.js';
import { processLives } from '../../../lib/procfs/process-stat.js';
import { CadenceWatch, faultGone, faultNamed, faultSeconds } from '../../harness/cadence-watch.js';
import { createCgroupTree, joinCgroup } from '../../harness/cgroups.js';
import { useHarness } from '../../harness/harness.js';
import { FaultyProxy } from '../../harness/proxy.js';
import { residentMiB } from '../../harness/resources.js';
import type { StreamReader } from '../../harness/sse.js';
import { waitFor } from '../../harness/wait.js';
import { useWorkerBench } from '../../harness/worker-suite.js';

// An emulated CPU is slow: only what must happen counts here, not how soon. Starting a daemon takes a minute on it.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 120_000 });
const longWait = { timeoutMs: 150_000, everyMs: 100 };

const facts = (stream: StreamReader, workerId: string): FleetEvent[] =>
  stream.messages
    .filter(({ event }) => event === 'event')
    .map(({ data }) => data as FleetEvent)
    .filter((event) => event.workerId === workerId);

describe('out of memory', () => {
  const harness = useHarness();
  const bench = useWorkerBench();
  let queen: Queen;
  beforeEach(async () => {
    queen = await startQueen({ port: 0, warmingMs: 0 });
  });
  afterEach(() => queen.close());

  const seen = (id: string, accept: (worker: WorkerView) => boolean = () => true): Promise<WorkerView> =>
    waitFor(() => queen.registry.workers({}).items.find((worker) => worker.id === id && accept(worker)), {
      ...longWait,
      what: `the worker ${id} at the queen`,
    });
  const place = () => ({ root: bench().tree.root, runtimeDir: bench().runtimeDir });

  test('oom_kill_in_partition: a worker is OOM-killed while the queen is out of reach: told after it heals, once', async () => {
    const proxy = await FaultyProxy.before(queen.url);
    harness().defer(() => proxy.close());
    const stream = harness().stream(`${queen.url}/v1/events`);
    const { root, runtimeDir } = place();
    const args = ['--root', root, '--runtime-dir', runtimeDir, '--no-auto', '--gpu', 'none', '--id', 'alpha'];
    const hive = await harness().hive([proxy.url], { args, startMs: 150_000 });
    const cadence = await CadenceWatch.start(harness(), hive.url, defaults.intervalMs, {
      timeoutMs: longWait.timeoutMs,
      chanceMs: 10_000,
    });
    const go = join(harness().directory(), 'go');
    const hog = await bench().sh(`while [ ! -e ${go} ]; do sleep 0.2; done; exec tail /dev/zero`, {
      instance: 'hog',
      memory: '32M',
      swap: '0',
    });
    const neighbour = await bench().sh('exec sleep 600', { instance: 'neighbour', memory: '64M' });
    await seen(hog.id, ({ oomKills }) => oomKills === 0);
    await seen(neighbour.id);
    const memoryBefore = residentMiB(hive.process.pid);
    proxy.become({ kind: 'silent' });
    cadence.begin();
    writeFileSync(go, '');
    expect(await hog.exited).toMatchObject({ signal: 'SIGKILL' });
    await faultNamed(hive.url, ({ source }) => source === 'queen', longWait.timeoutMs);
    await new Promise((resolve) => setTimeout(resolve, faultSeconds * 1000));
    expect(cadence.uneven()).toBeNull();
    expect(residentMiB(hive.process.pid)).toBeLessThan(memoryBefore + 64);
    expect(facts(stream, hog.id).map(({ kind }) => kind)).not.toContain('workerExited');
    proxy.become({ kind: 'none' });
    await waitFor(() => facts(stream, hog.id).some(({ kind }) => kind === 'workerExited'), {
      ...longWait,
      what: 'the exit to be told',
    });
    const told = facts(stream, hog.id);
    expect(told.filter(({ kind }) => kind === 'oomKill')).toHaveLength(1);
    expect(told.filter(({ kind }) => kind === 'workerExited')).toEqual([
      expect.objectContaining({ detail: expect.objectContaining({ signal: 'SIGKILL' }) }),
    ]);
    await seen(neighbour.id, ({ oomKills, liveness }) => oomKills === 0 && liveness === 'online');
    await faultGone(hive.url, ({ source }) => source === 'queen', longWait.timeoutMs);
    expect(hive.process.running).toBe(true);
  });

  test('oom_kill_of_the_hive: its workers live on, and the next run of it finds them with all that is known', async () => {
    const own = await createCgroupTree();
    harness().defer(() => own.dispose());
    const cgroup = await own.cgroup('hive');
    const { root, runtimeDir } = place();
    const args = ['--root', root, '--runtime-dir', runtimeDir, '--no-auto', '--gpu', 'none', '--id', 'alpha'];
    const hive = await harness().hive([queen.url], { args, startMs: 150_000 });
    await joinCgroup(cgroup, hive.process.pid);
    const worker = await bench().sh('exec sleep 600', { instance: 'steady', model: 'm', labels: { keep: 'me' } });
    await seen(worker.id);
    if (existsSync(join(cgroup, 'memory.swap.max'))) writeFileSync(join(cgroup, 'memory.swap.max'), '0');
    // What it held before it came here is charged elsewhere: this much is soon not enough.
    writeFileSync(join(cgroup, 'memory.max'), '1M');
    expect(await hive.process.ended(150_000)).toBe('SIGKILL');
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(true);
    await seen(worker.id, ({ liveness }) => liveness !== 'online');
    await harness().hive([queen.url], { args, startMs: 150_000 });
    const back = await seen(worker.id, ({ liveness }) => liveness === 'online');
    expect(back).toMatchObject({ pid: worker.pid, model: 'm', labels: { keep: 'me' }, origin: 'launched' });
  });
});
