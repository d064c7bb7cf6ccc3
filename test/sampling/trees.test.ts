import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Snapshot } from '../../lib/contract/heartbeat.js';
import { noGpuSource } from '../../lib/gpu/reading.js';
import type { RunningSampler } from '../../lib/sampling/create.js';
import { createSampler } from '../../lib/sampling/open.js';
import { waitFor } from '../harness/wait.js';
import { workerOf } from './collect-support.js';
import { FakeHost, fakeGpu } from './fake-host.js';

describe('engines that share a cgroup', () => {
  it('adopts the cgroup of a known engine; in the root cgroup its tree of processes is the worker', async () => {
    const host = new FakeHost();
    const session = '/user.slice/user-1000.slice/session-3.scope';
    host.worker(session, { pid: 7, argv: ['bash'] });
    host.process({ pid: 8, argv: ['llama-server', '-m', 'phi.gguf'], cgroup: session });
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/' });
    const snapshot = await host.sampler().sample();
    expect(snapshot.workers.map(({ id, model, scope }) => [id, model, scope])).toEqual([
      ['processes/vllm-9', 'a/b', 'processes'],
      ['user-1000/session-3.scope', 'phi.gguf', undefined],
    ]);
    expect(snapshot.faults).toContainEqual(expect.objectContaining({ code: 'ENGINE_IN_ROOT_CGROUP' }));
  });

  it('beside the hive each is a worker of its own: its tree of processes', async () => {
    const host = new FakeHost();
    host.worker('/box', { pid: 5, argv: ['hivepulse', 'up'] });
    host.process({ pid: 7, argv: ['llama-server', '-m', 'phi.gguf'], cgroup: '/box', residentBytes: 8192 });
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/box' });
    host.process({ pid: 10, argv: ['VLLM::Worker_TP0'], cgroup: '/box', parentPid: 9, residentBytes: 12_288 });
    host.process({ pid: 11, argv: ['vllm', 'serve', 'c/d'], cgroup: '/box', parentPid: 10 });
    const snapshot = await host.sampler({ ownPid: 5 }).sample();
    expect(snapshot).toMatchObject({ workersComplete: true, faults: [] });
    expect(snapshot.workers.map(({ id, processCount, memoryBytes }) => [id, processCount, memoryBytes])).toEqual([
      ['processes/llama-server-7', 1, 8192],
      ['processes/vllm-9', 3, 20_480],
    ]);
    const { nullReasons, ...worker } = workerOf(snapshot, 'processes/vllm-9');
    expect(worker).toMatchObject({ scope: 'processes', memorySource: 'proc', memoryPeakBytes: null, oomKills: null });
    expect(nullReasons).toMatchObject({
      memoryPeakBytes: 'noCgroup',
      memoryLimitBytes: 'noCgroup',
      'pressure.cpu': 'noCgroup',
      cpuPercent: 'noEarlierReading',
    });
  });

  it('a process that holds a GPU is a worker as well, and each has its own', async () => {
    const GiB = 1024 ** 3;
    const host = new FakeHost();
    host.worker('/box', { pid: 5, argv: ['hivepulse', 'up'] });
    host.process({ pid: 7, argv: ['python', 'train.py'], comm: 'pt main (x)', cgroup: '/box' });
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/box' });
    const held = [7, 9].map((pid) => ({ gpuUuid: 'G0', pid, memoryUsedBytes: pid * GiB, utilizationPercent: 10 }));
    const gpu = fakeGpu({ devices: [], processes: held });
    const sampler = host.sampler({ ownPid: 5, gpu, pidNamespace: 'pid:[4026531836]' });
    const { workers } = await until(sampler, (snapshot) => snapshot.workers.length === 2);
    expect(workers.map(({ id, gpus }) => [id, gpus[0]?.memoryUsedBytes])).toEqual([
      ['processes/pt-main-x--7', 7 * GiB],
      ['processes/vllm-9', 9 * GiB],
    ]);
  });

  it('a worker keeps its id when its engine is forgotten, and goes with its last process', async () => {
    const host = new FakeHost();
    host.worker('/box', { pid: 5, argv: ['hivepulse', 'up'] });
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/box' });
    host.process({ pid: 10, argv: ['VLLM::EngineCore'], cgroup: '/box', parentPid: 9 });
    const sampler = host.sampler({ ownPid: 5 });
    await sampler.sample();
    host.remove('../proc/9');
    const left = await until(sampler, ({ workers }) => workers[0]?.processCount === 1);
    expect(left.workers[0]).toMatchObject({ id: 'processes/vllm-9', pid: 10 });
    host.remove('../proc/10');
    await until(sampler, ({ workers }) => workers.length === 0);
  });
});

/** Burns half of a CPU in a child that nobody waits for by parentage, and says how much when asked. */
const engine = `
const { spawn } = require('node:child_process');
if (process.argv.includes('child')) {
  setInterval(() => { const until = Date.now() + 20; while (Date.now() < until); }, 50);
  process.on('message', () => process.send(process.cpuUsage()));
  process.on('disconnect', () => process.exit());
} else {
  const child = spawn(process.execPath, ['-e', process.env.PROGRAM, 'child'], { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  process.on('message', (message) => child.send(message));
  child.on('message', (usage) => process.send(usage));
  }`;

describe('real processes', () => {
  it('CPU of a tree is what its processes used, within 5 %', async () => {
    const root = spawn(process.execPath, ['-e', engine, 'serve', '-m', 'phi.gguf'], {
      argv0: 'llama-server',
      env: { ...process.env, PROGRAM: engine },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    onTestFinished(() => void root.kill('SIGKILL'));
    const sampler = await createSampler({ gpu: noGpuSource('not asked for'), readiness: false });
    onTestFinished(() => sampler.close());
    const id = `processes/llama-server-${root.pid}`;
    await until(sampler, ({ workers }) => workers.some((each) => each.id === id && (each.processCount ?? 0) === 2));
    const before = await usageOf(root);
    await sampler.sample();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const worker = workerOf(await sampler.sample(), id);
    const after = await usageOf(root);
    const usedPercent = ((after.cpuMs - before.cpuMs) / (after.atMs - before.atMs)) * 100;
    expect(worker.cpuPercent).toBeGreaterThan(usedPercent * 0.95 - 1);
    expect(worker.cpuPercent).toBeLessThan(usedPercent * 1.05 + 1);
    expect(worker).toMatchObject({ scope: 'processes', model: 'phi.gguf' });
  }, 30_000);
});

async function usageOf(root: ChildProcess) {
  root.send('usage');
  const [{ user, system }] = (await once(root, 'message')) as [NodeJS.CpuUsage];
  return { cpuMs: (user + system) / 1000, atMs: performance.now() };
}

/** Samples until one snapshot is as said, and gives that. */
const until = (sampler: RunningSampler, holds: (snapshot: Snapshot) => boolean): Promise<Snapshot> =>
  waitFor(async () => {
    const snapshot = await sampler.sample();
    return holds(snapshot) && snapshot;
  });
