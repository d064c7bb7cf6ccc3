import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { NvidiaSmiOptions } from '../../../lib/gpu/nvidia/nvidia-smi.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { SmiHost } from './nvidia-smi-host.js';
import { settled } from './scripted-programs.js';

const host = new SmiHost();

describe('passes of nvidia-smi', () => {
  it('begin each interval, of a second where none is set, and never less than 10 ms apart', async () => {
    host.has({});
    const first = host.open();
    first.start();
    await host.programs.pass(0);
    expect(host.begins()).toBe(1);
    await host.programs.pass(999);
    expect(host.begins()).toBe(0);
    await host.programs.pass(1);
    expect(host.begins()).toBe(1);
    const often = host.open({ intervalMs: 3 });
    await first.stop();
    often.start();
    await host.programs.pass(9);
    expect(host.begins()).toBe(1);
    await host.programs.pass(1);
    expect(host.begins()).toBe(1);
  });

  it('begin ten times as seldom where the program is not there', async () => {
    const { path, remove } = temporaryDirectory('smi-absent');
    onTestFinished(remove);
    const binary = join(path, 'nvidia-smi');
    const smi = host.open({ binary, intervalMs: 300 });
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.failure).toMatchObject({ kind: 'absent', code: 'NVIDIA_SMI_MISSING' });
    expect(smi.state.failure?.message).toContain(binary);
    writeFileSync(binary, '', { mode: 0o755 });
    await host.programs.pass(2999);
    expect(host.begins()).toBe(0);
    await host.programs.pass(1);
    expect(host.begins()).toBe(1);
  });

  it('started twice it runs once', async () => {
    host.has({});
    const smi = host.open();
    smi.start();
    smi.start();
    await host.programs.pass(0);
    expect(host.begins()).toBe(1);
    await host.programs.pass(1000);
    expect(host.begins()).toBe(1);
  });

  it('stopped it says nothing, and runs no more', async () => {
    host.has({});
    const smi = host.open({ now: () => 7311 });
    smi.start();
    await host.programs.pass(0);
    expect(smi.state).toMatchObject({ reportAt: 7311, failure: null, abandoned: 0 });
    expect(smi.state.report?.devices).toHaveLength(1);
    await smi.stop();
    expect(smi.state).toMatchObject({ report: null, failure: null });
    host.programs.runs();
    await host.programs.pass(60_000);
    expect(host.programs.runs()).toEqual([]);
  });

  it('a run that is stopped is killed, and what it was to say is not taken', async () => {
    const smi = host.open();
    smi.start();
    await host.programs.pass(500);
    const stopped = smi.stop();
    expect(host.programs.killed).toEqual([-5000]);
    await stopped;
    await host.programs.pass(60_000);
    expect(host.programs.started).toHaveLength(1);
    expect(smi.state).toEqual({ report: null, reportAt: 0, failure: null, abandoned: 0 });
  });

  it('started anew while a run of before is ending, it waits for that, and begins once', async () => {
    host.programs.areStuck = true;
    const smi = host.open();
    smi.start();
    await host.programs.pass(100);
    void smi.stop();
    smi.start();
    void smi.stop();
    smi.start();
    await host.programs.pass(900);
    expect(host.programs.started).toHaveLength(1);
    await host.programs.pass(200);
    expect(host.programs.started).toHaveLength(2);
    expect(host.programs.killed).toEqual([-5000]);
    host.has({});
    await host.programs.newest.end(0);
    await host.programs.pass(3000);
    expect(smi.state.abandoned).toBe(1);
  });

  it('stopped while one answers, no other is asked, and what it says is not taken', async () => {
    host.has({});
    const smi = host.open();
    const rows = host.programs.answers.gpus;
    host.programs.answers.gpus = (args) => {
      void smi.stop();
      return rows(args);
    };
    smi.start();
    await host.programs.pass(0);
    expect(host.programs.started).toHaveLength(1);
    host.programs.answers.gpus = rows;
    host.programs.answers.pmon = () => {
      void smi.stop();
      return { text: '' };
    };
    host.programs.answers.apps = () => ({ text: 'GPU-be11-0, 77, 5\n' });
    smi.start();
    await host.programs.pass(0);
    expect(host.programs.started).toHaveLength(4);
    expect(smi.state.report).toBeNull();
  });

  it('a failure stands until a pass gives a report', async () => {
    host.programs.answers.gpus = () => ({ text: '', exitCode: 9 });
    const smi = host.open();
    smi.start();
    await host.programs.pass(0);
    expect(smi.state).toMatchObject({ report: null, failure: { kind: 'failed', code: 'DRIVER_NOT_LOADED' } });
    host.has({});
    await host.programs.pass(1000);
    expect(smi.state.failure).toBeNull();
    expect(smi.state.report?.devices).toHaveLength(1);
    host.programs.answers.gpus = () => ({ text: '', exitCode: 18 });
    await host.programs.pass(1000);
    expect(smi.state).toMatchObject({ report: null, failure: { kind: 'failed', code: 'VERSION_MISMATCH' } });
  });

  it.each([
    ['by a signal', null, '', /ended with a signal and no rows$/],
    ['with a code', 6, '\n', /ended with 6 and no rows$/],
    ['with a word', 7, `\n${'e'.repeat(201)}\nmore\n`, /ended with 7 and no rows: e{200}$/],
  ] as const)('that end %s and give no row are said to', async (_how, exitCode, text, message) => {
    host.programs.answers.gpus = () => ({ text, exitCode });
    const smi = host.open();
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.failure).toEqual({
      kind: 'failed',
      code: 'NVIDIA_SMI_FAILED',
      message: expect.stringMatching(message),
    });
  });

  it('a shell that cannot be started is a failure, and another is tried', async () => {
    const smi = host.open();
    smi.start();
    await settled();
    host.programs.newest.emit('error', new Error('spawn EAGAIN'));
    await host.programs.pass(0);
    expect(smi.state.failure).toEqual({
      kind: 'failed',
      code: 'NVIDIA_SMI_FAILED',
      message: 'nvidia-smi: Error: spawn EAGAIN',
    });
    host.has({});
    await host.programs.pass(1000);
    expect(smi.state.report?.devices).toHaveLength(1);
    await host.programs.pass(0);
    expect(host.programs.killed).toEqual([]);
  });

  it('each is a process group of its own, without our secrets, that writes to us alone', async () => {
    host.open({ env: { PATH: '/usr/bin', WEB_PASSWORD: 'x' } }).start();
    await settled();
    expect(host.programs.newest.options).toEqual({
      detached: true,
      env: { PATH: '/usr/bin' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(host.programs.newest.file).toBe('/bin/sh');
    expect(host.programs.newest.args[0]).toBe('-c');
    expect(host.programs.newest.args[2]).toBe(process.execPath);
  });

  it('runs that the kernel holds are counted; after three none is started until one has ended', async () => {
    host.programs.areStuck = true;
    host.has({});
    host.programs.answers.apps = () => null;
    const smi = host.open({ timeoutMs: 700, firstTimeoutMs: 2500, intervalMs: 1000 });
    smi.start();
    await host.programs.pass(2500);
    expect(host.programs.killed).toHaveLength(1);
    await host.programs.pass(999);
    expect(smi.state).toMatchObject({ abandoned: 0, failure: null });
    await host.programs.pass(1);
    expect(smi.state).toMatchObject({ abandoned: 1, failure: { kind: 'stalled', code: 'NVIDIA_SMI_TIMEOUT' } });
    expect(smi.state.failure?.message).toContain('within 2.5 s');
    const [, first] = host.programs.started;
    expect([first?.isHeld, first?.stdout.destroyed]).toEqual([false, true]);
    await host.programs.pass(20_000);
    expect(smi.state).toMatchObject({ abandoned: 3, failure: { kind: 'stalled', code: 'NVIDIA_SMI_STUCK' } });
    expect(smi.state.failure?.message).toContain('3 runs are stuck');
    host.programs.runs();
    await host.programs.pass(5000);
    expect(host.programs.runs()).toEqual([]);
    host.programs.answers.apps = () => ({ text: '' });
    first?.emit('exit', null, 'SIGKILL');
    expect(smi.state.abandoned).toBe(2);
    await host.programs.pass(1000);
    expect(smi.state).toMatchObject({ abandoned: 2, failure: null });
    expect(smi.state.report?.devices).toHaveLength(1);
  });

  it('a run that ends within a second of being killed is not left behind', async () => {
    host.programs.areStuck = true;
    const smi = host.open({ firstTimeoutMs: 400 });
    smi.start();
    await host.programs.pass(1300);
    await host.programs.newest.end(null, 'SIGKILL');
    await host.programs.pass(5000);
    expect(smi.state.abandoned).toBeLessThan(2);
    expect(host.programs.started[0]?.isHeld).toBe(true);
  });

  it.each([
    ['that was never started', () => Object.assign(host.programs.newest, { pid: undefined })],
    [
      'that ended in this moment',
      () =>
        vi.mocked(process.kill).mockImplementation(() => {
          throw new Error('kill ESRCH');
        }),
    ],
  ])('a run %s is not killed, and is given up', async (_what, prepare) => {
    const smi = host.open({ firstTimeoutMs: 400 });
    smi.start();
    await settled();
    prepare();
    await host.programs.pass(1400);
    expect(host.programs.killed).toEqual([]);
    expect(smi.state).toMatchObject({ abandoned: 1, failure: { kind: 'stalled' } });
  });
});

describe('where nvidia-smi is', () => {
  it('the first in PATH that may be run, unless one is named', async () => {
    const { path, remove } = temporaryDirectory('smi-path');
    onTestFinished(remove);
    const places = ['a', 'b', 'c'].map((name) => join(path, name));
    for (const place of places) {
      mkdirSync(place);
      writeFileSync(join(place, 'nvidia-smi'), '');
      chmodSync(join(place, 'nvidia-smi'), place.endsWith('a') ? 0o644 : 0o755);
    }
    const spawned = async (options: NvidiaSmiOptions) => {
      const smi = host.open({ ...options });
      smi.start();
      await settled();
      const { args } = host.programs.newest;
      await smi.stop();
      return args[2];
    };
    const env = { PATH: `:${places.join(':')}` };
    expect(await spawned({ binary: undefined, env } as never)).toBe(join(path, 'b/nvidia-smi'));
    expect(await spawned({ binary: join(path, 'c/nvidia-smi'), env })).toBe(join(path, 'c/nvidia-smi'));
    const before = host.programs.started.length;
    const smi = host.open({ binary: join(path, 'a/nvidia-smi'), env });
    smi.start();
    await settled();
    expect(host.programs.started).toHaveLength(before);
    expect(smi.state.failure?.kind).toBe('absent');
  });
});
