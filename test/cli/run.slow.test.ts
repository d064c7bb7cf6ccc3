import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exitStatus, parseLabels, toSpawnOptions } from '../../lib/cli/run.js';
import { parseGrace } from '../../lib/cli/stop.js';
import { processLives } from '../../lib/procfs/process-stat.js';
import { readRecords } from '../../lib/workers/records.js';
import { cgroupSuite } from '../harness/cgroups.js';
import { useHarness } from '../harness/harness.js';
import { waitFor } from '../harness/wait.js';
import { useWorkerBench } from '../harness/worker-suite.js';

describe('flags', () => {
  it('become options of spawn', () => {
    const flags = {
      group: 'llm',
      instance: '8080',
      cpu: '200%',
      memory: '24G',
      io: ['/dev/sda rbps=1M'],
      oomGroup: true,
      port: '8080',
      label: ['a=b', 'c=d=e'],
      reservation: 'r',
    };
    expect(toSpawnOptions(flags, ['vllm', 'serve', 'm'])).toMatchObject({
      group: 'llm',
      instance: '8080',
      command: 'vllm',
      args: ['serve', 'm'],
      cpu: '200%',
      memory: '24G',
      io: ['/dev/sda rbps=1M'],
      oomGroup: true,
      port: 8080,
      labels: { a: 'b', c: 'd=e' },
      reservationId: 'r',
    });
    expect(() => parseLabels(['novalue'])).toThrow(/key=value/);
    expect(() => toSpawnOptions({ group: 'g', instance: 'i', port: '80a' }, ['x'])).toThrow(/--port/);
  });
  it('the status is what a shell would give', () => {
    expect(exitStatus({ code: 3, signal: null })).toBe(3);
    expect(exitStatus({ code: null, signal: 'SIGTERM' })).toBe(143);
    expect(exitStatus({ code: null, signal: 'SIGKILL' })).toBe(137);
  });
  it('the grace is in seconds, or in ms where it says so', () => {
    expect([parseGrace('10'), parseGrace('0.5s'), parseGrace('250ms')]).toEqual([10_000, 500, 250]);
    for (const text of ['', '-1', '1h', 'soon']) expect(() => parseGrace(text)).toThrow(/--grace/);
  });
});

const { title, skip } = cgroupSuite('hivepulse run and stop');
describe.skipIf(skip)(title, () => {
  const harness = useHarness();
  const bench = useWorkerBench();
  const places = () => ['--root', bench().tree.root, '--runtime-dir', bench().runtimeDir];
  const run = (script: string, args: readonly string[] = []) =>
    harness().worker('demo', 'one', ['sh', '-c', script], { args: [...places(), ...args] });

  it('ends with the status of the worker, passes its output on, and cleans up', async () => {
    const worker = run('cat /proc/self/cgroup; exit 7');
    expect(await worker.ended(20_000)).toBe(7);
    expect(worker.lines.join('\n')).toMatch(/0::.*\/hivepulse\.slice\/demo\/one/);
    expect(await bench().leftovers()).toEqual([]);
    expect((await readRecords(bench().runtimeDir)).ended).toMatchObject([{ instance: 'one', exit: { code: 7 } }]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('passes %s on, and ends as the worker decides', async (signal) => {
    const worker = run(`trap 'echo got; exit 9' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`);
    await worker.line(/^ready$/);
    worker.signal(signal);
    expect(await worker.ended(20_000)).toBe(9);
    expect(worker.lines).toContain('got');
    expect(await bench().leftovers()).toEqual([]);
  });

  it('a worker that a signal ended gives 128 + its number', async () => {
    const worker = run('echo ready; exec sleep 60');
    await worker.line(/^ready$/);
    worker.signal('SIGTERM');
    expect(await worker.ended(20_000)).toBe(143);
  });

  it('a command that does not exist: one line that names it, and no worker', async () => {
    const worker = harness().worker('demo', 'one', ['/nope'], { args: places() });
    expect(await worker.ended(20_000)).toBe(1);
    expect(worker.lines.filter((line) => line.includes('ENOENT'))).toHaveLength(1);
    expect(await bench().leftovers()).toEqual([]);
  });

  it.each([
    ['--cpu', '-5%'],
    ['--memory', '24GB'],
    ['--label', 'x'],
    ['--ready-url', 'http://10.0.0.1/'],
  ])('%s %s is a usage error that names the flag', async (flag, value) => {
    const worker = run('true', [`${flag}=${value}`]);
    expect(await worker.ended(20_000)).toBe(2);
    expect(worker.lines.join('\n')).toContain(flag);
  });

  it('says that children live on, and stop ends them', async () => {
    const worker = run('setsid sleep 60 >/dev/null 2>&1 & exit 0');
    expect(await worker.ended(20_000)).toBe(0);
    expect(worker.lines.join('\n')).toMatch(
      /demo\/one ended, but 1 of its processes live on .*hivepulse stop demo\/one/,
    );
    const stop = harness().cli(['stop', 'demo/one', ...places()]);
    expect(await stop.ended(20_000)).toBe(0);
    expect(stop.lines).toEqual(['demo/one stopped: 1 process signalled, ended']);
    expect(await bench().leftovers()).toEqual([]);
  });

  it('stop from elsewhere ends the worker, and run with it', async () => {
    const worker = run('echo ready; exec sleep 60');
    await worker.line(/^ready$/);
    const stop = harness().cli(['stop', 'demo/one', ...places(), '--grace', '5']);
    expect(await stop.ended(20_000)).toBe(0);
    expect(await worker.ended(20_000)).toBe(143);
    expect(await bench().leftovers()).toEqual([]);
    const again = harness().cli(['stop', 'demo/one', ...places()]);
    expect(await again.ended(20_000)).toBe(1);
    expect(again.lines.join('\n')).toContain('demo/one');
  });

  it('the worker outlives a run that was killed, keeps its name, and is stopped by it', async () => {
    const worker = run('echo ready; exec sleep 60');
    await worker.line(/^ready$/);
    const record = await waitFor(async () => (await readRecords(bench().runtimeDir)).running[0]);
    worker.signal('SIGKILL');
    await waitFor(() => !worker.running);
    expect(await processLives(record.pid, record.startTicks)).toBe(true);
    expect(record).toMatchObject({
      group: 'demo',
      instance: 'one',
      cgroup: join(bench().tree.root, 'hivepulse.slice/demo/one'),
    });
    const stop = harness().cli(['stop', 'demo/one', ...places()]);
    expect(await stop.ended(20_000)).toBe(0);
    await waitFor(async () => !(await processLives(record.pid, record.startTicks)));
    expect(await bench().leftovers()).toEqual([]);
  });
});
