import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { type NvidiaOptions, nvidia } from '../../../lib/gpu/nvidia/vendor.js';
import type { GpuReader } from '../../../lib/gpu/vendor.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { rowFor, ScriptedPrograms } from './scripted-programs.js';

const helper = '/opt/hivepulse-gpu';
const uuid = 'GPU-c0de-7';
const busId = '00000000:AF:00.0';

/** What the native reader says of a host with one GPU, or none. */
const report = (gpus = 1) => ({
  type: 'report',
  driverVersion: '570.1',
  library: '',
  durationMs: 2,
  devices: Array.from({ length: gpus }, (_, index) => ({
    ...{ index, handleCode: 0, uuid: `${uuid}${index}`, parentUuid: '', name: 'L40S', busId, computeCapability: '8.9' },
    ...{ values: {}, codes: {} },
  })),
  processes: [],
});
const notLoaded = { type: 'failed', call: 'nvmlInit_v2', code: 9 };
const nowhere = { type: 'unavailable', reason: 'libnvidia-ml.so.1 is not there; looked for in /a, /b' };

let programs: ScriptedPrograms;
let root: ReturnType<typeof temporaryDirectory>;
let readers: GpuReader[];

beforeEach(() => {
  programs = new ScriptedPrograms();
  root = temporaryDirectory('nvidia-vendor');
  readers = [];
});
afterEach(async () => {
  programs.areStuck = false;
  for (const reader of readers) reader.close();
  await programs.pass(5000);
  programs.restore();
  root.remove();
});

function open(options: NvidiaOptions = {}) {
  const clock = { now: 5000 };
  const reader = nvidia.open(
    {
      isolation: 'process',
      spawn: programs.spawn,
      now: () => clock.now,
      roots: { sys: root.path },
      ...options,
      paths: { nvml: ['/none/nvml'], helper, nvidiaSmi: process.execPath, procDriver: root.path, ...options.paths },
    },
    new GpuIdentities(),
  );
  readers.push(reader);
  return {
    reader,
    /** Lets time pass on both clocks, reading four times a second. */
    pass: async (ms: number) => {
      for (let spent = 0; spent < ms; spent += 250) {
        clock.now += 250;
        await programs.pass(250);
        reader.read();
      }
    },
    jump: (ms: number) => {
      clock.now += ms;
      return reader.read();
    },
    clock,
  };
}

const answersRow = () => {
  programs.answers.gpus = (args) => ({ text: rowFor(args, { index: '0', uuid: `${uuid}0`, 'pci.bus_id': busId }) });
};
const helpers = () => programs.started.filter(({ file }) => file === helper);
const tools = () => programs.started.filter(({ file }) => file === '/bin/sh');

describe('NVML and nvidia-smi', () => {
  it.each([
    [{}, 1, 0],
    [{ gpu: 'auto' }, 1, 0],
    [{ gpu: 'nvml' }, 1, 0],
    [{ gpu: 'nvidia-smi' }, 0, 1],
    [{ gpu: 'nvidia-smi', fallback: false }, 1, 0],
    [{ gpu: 'nvidia-smi', fallback: true }, 0, 1],
  ] as const)('%j begins with the reader that was asked for', (options, ofNvml, ofSmi) => {
    const { reader } = open(options);
    reader.read();
    expect([helpers().length, tools().length]).toEqual([ofNvml, ofSmi]);
    expect(reader.read()).toMatchObject({
      status: 'initializing',
      reader: ofNvml === 1 ? 'nvml' : 'nvidiaSmi',
      reason: ofNvml === 1 ? null : expect.stringContaining('gpu: nvidia-smi'),
      faults: [],
    });
  });

  it('both are given what was set', () => {
    const env = { PATH: '/usr/sbin' };
    const times = { slowIntervalMs: 6000, retryMs: 350 };
    const { reader } = open({ intervalMs: 800, env, times });
    reader.read();
    expect(helpers()[0]?.args).toEqual([
      ...['--library', '/none/nvml', '--interval-ms', '800', '--slow-interval-ms', '6000', '--retry-ms', '350'],
    ]);
    expect(helpers()[0]?.options.env).toEqual(env);
    const other = open({ gpu: 'nvidia-smi', env });
    other.reader.read();
    expect(tools()[0]?.options.env).toEqual(env);
    expect(tools()[0]?.args[2]).toBe(process.execPath);
  });

  it('the library is looked for below the root where no place of it is named', () => {
    const { reader } = open({ paths: { root: '/host', nvml: undefined } as never });
    reader.read();
    expect(helpers()[0]?.args.slice(0, 2)).toEqual(['--library', '/host/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1']);
  });

  it('what NVML says is what is so, and nvidia-smi does not run', async () => {
    const { reader, clock } = open();
    reader.read();
    await helpers()[0]?.say(report(), { type: 'xid', uuid, xid: 61 });
    clock.now += 250;
    const reading = reader.read();
    expect(reading).toMatchObject({ status: 'working', reader: 'nvml', reason: null, at: 5250 });
    expect(reader.takeEvents()).toMatchObject([{ kind: 'xid', detail: { xid: 61 } }]);
    expect(reader.takeEvents()).toEqual([]);
    expect(tools()).toEqual([]);
  });

  it('a driver that wakes again after its GPUs were seen is said to', async () => {
    const { reader, pass } = open({ times: { stalledMs: 900 } });
    reader.read();
    await helpers()[0]?.say(report(0));
    await pass(250);
    await helpers()[0]?.end(null, 'SIGSEGV');
    await pass(4000);
    expect(reader.read()).toMatchObject({ status: 'initializing', reader: 'nvml', reason: null, faults: [] });
    await helpers()[1]?.say(report(1));
    await pass(250);
    await helpers()[1]?.end(null, 'SIGSEGV');
    await pass(4000);
    expect(reader.read()).toEqual({
      status: 'initializing',
      reader: 'nvml',
      reason: null,
      faults: [
        { source: 'gpu', code: 'GPU_INITIALIZING', field: 'gpus', message: expect.stringContaining('being woken') },
      ],
    });
  });

  it('a driver that gives no answer is stalled, and nvidia-smi is not asked instead', async () => {
    const { reader, pass } = open({ times: { stalledMs: 1500 } });
    reader.read();
    await helpers()[0]?.say(report());
    await pass(4000);
    expect(reader.read()).toMatchObject({
      status: 'stalled',
      reader: 'nvml',
      reason: null,
      faults: [{ source: 'gpu', code: 'NVML_STALLED', field: 'gpus' }],
    });
    expect(tools()).toEqual([]);
  });

  it('while NVML fails nvidia-smi is asked, and until it has answered the last answer stands as long as it is fresh', async () => {
    const { reader, jump } = open({ intervalMs: 700, times: { stalledMs: 1300 } });
    reader.read();
    await helpers()[0]?.say(report());
    const last = jump(100);
    await helpers()[0]?.say(notLoaded);
    expect(jump(100)).toBe(last);
    expect(tools()).toHaveLength(1);
    expect(jump(1900)).toBe(last);
    expect(jump(1)).toMatchObject({
      status: 'initializing',
      reader: 'nvidiaSmi',
      reason: expect.stringContaining('NVML: the NVIDIA driver is not loaded'),
      faults: [{ code: 'GPU_INITIALIZING', message: expect.stringContaining('for the first time') }],
    });
  });

  it('nvidia-smi answers for NVML until that works again, and is ended then', async () => {
    answersRow();
    const { reader, pass } = open();
    reader.read();
    await helpers()[0]?.say(notLoaded);
    await pass(500);
    expect(reader.read()).toMatchObject({
      status: 'working',
      reader: 'nvidiaSmi',
      reason: expect.stringContaining('not loaded'),
      report: { devices: [{ uuid: `${uuid}0` }] },
    });
    programs.answers.gpus = () => null;
    await pass(1500);
    const running = programs.newest;
    await helpers()[0]?.say(report());
    await pass(250);
    expect(reader.read()).toMatchObject({ status: 'working', reader: 'nvml', reason: null });
    expect(programs.killed).toEqual([-(running.pid ?? 0)]);
    const runs = tools().length;
    await pass(3000);
    expect(tools()).toHaveLength(runs);
  });

  it('where neither is there the host has no GPU of this vendor, and where they were looked for is left out', async () => {
    const { reader, pass } = open({ paths: { nvidiaSmi: '/none/nvidia-smi' } });
    reader.read();
    await helpers()[0]?.say(nowhere);
    await pass(500);
    const reading = reader.read();
    expect(reading).toMatchObject({ status: 'absent', reader: 'none', faults: [] });
    expect(reading.reason).toMatch(/^libnvidia-ml\.so\.1 is not there; \/none\/nvidia-smi is not there or/);
  });

  it.each([
    ['nvml', { code: 'NVML_UNAVAILABLE', message: nowhere.reason }],
    ['nvidia-smi', { code: 'NVIDIA_SMI_MISSING', message: expect.stringContaining('/none/nvidia-smi is not there') }],
  ] as const)('that %s is not there is a fault where it was asked for', async (gpu, fault) => {
    const { reader, pass } = open({ gpu, paths: { nvidiaSmi: '/none/nvidia-smi' } });
    reader.read();
    await helpers()[0]?.say(nowhere);
    await pass(500);
    expect(reader.read()).toMatchObject({ status: 'failed', reader: 'none', faults: [{ ...fault, field: 'gpus' }] });
    expect((reader.read() as { faults: readonly unknown[] }).faults).toHaveLength(1);
  });

  it('GPUs that were seen are not absent when both are gone', async () => {
    const { reader, pass } = open({ paths: { nvidiaSmi: '/none/nvidia-smi' } });
    reader.read();
    await helpers()[0]?.say(report());
    await pass(250);
    await helpers()[0]?.say(nowhere);
    await pass(5000);
    expect(reader.read()).toMatchObject({
      status: 'failed',
      reader: 'none',
      reason: expect.stringMatching(/^libnvidia-ml.*looked for in.*; \/none\/nvidia-smi/),
      faults: [{ code: 'NVML_UNAVAILABLE', message: nowhere.reason }],
    });
  });

  it.each([
    ['lists two GPUs', ['gpus/0000:3b:00.0', 'gpus/0000:af:00.0'], /^the driver lists 2 GPUs that cannot be read/],
    ['lists one', ['gpus/0000:3b:00.0'], /^the driver lists 1 GPU that cannot be read/],
    ['is that of a Tegra', ['module/nvgpu'], /^the GPU of this Tegra board .* cannot be read/],
  ])('GPUs of a driver that %s are there, and cannot be read', async (_how, directories, message) => {
    for (const directory of directories) mkdirSync(join(root.path, directory), { recursive: true });
    const { reader, pass } = open({ paths: { nvidiaSmi: '/none/nvidia-smi' } });
    reader.read();
    await helpers()[0]?.say(nowhere);
    await pass(500);
    const reading = reader.read();
    expect(reading).toMatchObject({
      status: 'failed',
      faults: [{ source: 'gpu', code: 'LIBRARY_NOT_FOUND', message: expect.stringMatching(message) }],
    });
    const [fault] = (reading as { faults: readonly { message: string }[] }).faults;
    expect(fault?.message).toContain(nowhere.reason);
    expect(fault?.message).toContain('/none/nvidia-smi is not there');
  });

  it('which GPUs the driver lists is looked at once a second', async () => {
    const { reader, pass, jump } = open({ paths: { nvidiaSmi: '/none/nvidia-smi' } });
    reader.read();
    await helpers()[0]?.say(nowhere);
    await pass(500);
    jump(2000);
    expect(reader.read().status).toBe('absent');
    mkdirSync(join(root.path, 'gpus/0000:3b:00.0'), { recursive: true });
    expect(jump(999).status).toBe('absent');
    expect(jump(1).status).toBe('failed');
  });

  it('where both fail both say why, and of one that hangs the state is that', async () => {
    programs.answers.gpus = () => ({ text: '', exitCode: 18 });
    const { reader, pass } = open({ times: { nvidiaSmiTimeoutMs: 600, nvidiaSmiFirstTimeoutMs: 1100 } });
    reader.read();
    await helpers()[0]?.say(notLoaded);
    await pass(500);
    expect(reader.read()).toMatchObject({
      status: 'failed',
      reader: 'none',
      reason: expect.stringMatching(/^NVML: .*; nvidia-smi: /),
      faults: [{ code: 'DRIVER_NOT_LOADED' }, { code: 'VERSION_MISMATCH' }],
    });
    programs.answers.gpus = () => null;
    await pass(2500);
    expect(reader.read()).toMatchObject({
      status: 'stalled',
      reader: 'nvidiaSmi',
      faults: [{ code: 'DRIVER_NOT_LOADED' }, { code: 'NVIDIA_SMI_TIMEOUT' }],
    });
  });

  it('a fault is no longer than the contract has room for', async () => {
    const { reader, pass } = open({ gpu: 'nvml' });
    reader.read();
    await helpers()[0]?.say({ type: 'unavailable', reason: 'u'.repeat(1030) });
    await pass(250);
    expect(reader.read()).toMatchObject({ faults: [{ message: 'u'.repeat(1024) }] });
  });
});

describe('letting go of the driver', () => {
  it('ends both readers, and both begin anew', async () => {
    answersRow();
    const { reader, pass } = open();
    reader.read();
    await helpers()[0]?.say(notLoaded);
    await pass(500);
    const released = reader.release();
    await helpers()[0]?.end(0);
    await programs.pass(50);
    await released;
    await pass(3000);
    expect(helpers()).toHaveLength(1);
    reader.resume();
    await pass(250);
    expect(helpers()).toHaveLength(2);
    expect(reader.read()).toMatchObject({ status: 'initializing', reader: 'nvml' });
  });

  it.each([
    [1, /1 run of nvidia-smi is stuck/],
    [2, /2 runs of nvidia-smi are stuck/],
  ] as const)('rejects where %i runs of nvidia-smi cannot be ended', async (count, message) => {
    programs.areStuck = true;
    const { reader, pass } = open({ gpu: 'nvidia-smi', times: { nvidiaSmiFirstTimeoutMs: 500 } });
    reader.read();
    for (let i = 0; tools().length < count && i < 40; i++) await pass(250);
    const refused = expect(reader.release()).rejects.toThrow(message);
    await programs.pass(1100);
    await refused;
  });

  it('closed it ends both at once', async () => {
    const { reader, pass } = open();
    reader.read();
    await helpers()[0]?.say(notLoaded);
    await pass(250);
    expect(tools()).toHaveLength(1);
    reader.close();
    expect(helpers()[0]?.signals).toEqual(['SIGKILL']);
    expect(programs.killed).toEqual([-(tools()[0]?.pid ?? 0)]);
  });
});
