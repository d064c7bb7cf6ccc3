import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { buses, SmiHost } from './nvidia-smi-host.js';
import { rowFor } from './scripted-programs.js';

const MiB = 1024 * 1024;
const host = new SmiHost();

describe('what a pass of nvidia-smi asks and makes of the answers', () => {
  const app = (gpu: number | string, pid: number | string, mebibytes: number | string) =>
    `${typeof gpu === 'number' ? `GPU-be11-${gpu}` : gpu}, ${pid}, ${mebibytes}\n`;

  async function reported(smi = host.open()) {
    smi.start();
    await host.programs.pass(0);
    const { report } = smi.state;
    if (report === null) throw new Error(smi.state.failure?.message);
    return report;
  }

  it('asks for GPUs and processes, and for what processes use where there are any or five passes went by', async () => {
    host.has({});
    const smi = host.open();
    await reported(smi);
    const format = '--format=csv,noheader,nounits';
    const args = host.programs.runs();
    expect(args.map(([, ...more]) => more)).toEqual([[format], [format], ['-c', '1', '-s', 'um']]);
    const kinds = () => host.programs.runs().map(([asked]) => asked?.split('=')[0]);
    const idle = ['--query-gpu', '--query-compute-apps'];
    expect(args.map(([asked]) => asked?.split('=')[0])).toEqual([...idle, 'pmon']);
    for (let pass = 2; pass <= 5; pass++) {
      await host.programs.pass(1000);
      expect(kinds()).toEqual(idle);
    }
    await host.programs.pass(1000);
    expect(kinds()).toEqual([...idle, 'pmon']);
    host.programs.answers.apps = () => ({ text: app(0, 311, 77) });
    await host.programs.pass(1000);
    expect(kinds()).toEqual([...idle, 'pmon']);
  });

  it('processes are listed by GPU and pid, and counted for each', async () => {
    host.has({}, {});
    host.programs.answers.apps = () => ({ text: app(1, 90, 5) + app(0, 700, 6) + app('gpu-BE11-0', 60, 7) });
    const { devices, processes } = await reported();
    expect(processes.map(({ device, pid, bytes }) => [device, pid, bytes])).toEqual([
      [0, 60, 7 * MiB],
      [0, 700, 6 * MiB],
      [1, 90, 5 * MiB],
    ]);
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([true, true]);
  });

  it.each([
    ['Enabled', [12, 30], 42],
    ['Enabled', ['[N/A]', 30], null],
    ['Enabled', [30, '[N/A]'], null],
    ['Disabled', [12, 30], 30],
    ['Disabled', [30, 12], 30],
    ['Disabled', ['[N/A]', 30], 30],
    ['[N/A]', [30, 30], 30],
  ] as const)('of a process that is listed twice, MIG %s: %j MiB are %j', async (mig, [one, other], all) => {
    host.has({ 'mig.mode.current': mig });
    host.programs.answers.apps = () => ({ text: app(0, 44, one) + app(0, 45, 9) + app(0, 44, other) });
    const { processes } = await reported();
    expect(processes.map(({ pid, bytes }) => [pid, bytes])).toEqual([
      [44, all === null ? null : all * MiB],
      [45, 9 * MiB],
    ]);
  });

  it('the same pid on two GPUs is one process of each', async () => {
    host.has({}, {});
    host.programs.answers.apps = () => ({ text: app(0, 44, 3) + app(1, 44, 4) });
    const { processes } = await reported();
    expect(processes.map(({ device, bytes }) => [device, bytes])).toEqual([
      [0, 3 * MiB],
      [1, 4 * MiB],
    ]);
  });

  it.each([
    ['of a GPU that has no row', {}, app('GPU-fade-9', 44, 3)],
    ['of one of two GPUs with the same name', { uuid: 'GPU-be11-0' }, app(0, 44, 3)],
  ])('a process %s may be of any: none is placed, and no list is complete', async (_what, second, text) => {
    host.has({}, second);
    host.programs.answers.apps = () => ({ text: text + app(0, 45, 1) });
    const { devices, processes } = await reported();
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([false, false]);
    expect(processes.map(({ pid }) => pid)).toEqual(!('uuid' in second) ? [45] : []);
  });

  it('a GPU that refuses its list has the reason, and another has its processes', async () => {
    host.has({}, {});
    host.programs.answers.apps = () => ({
      text: app('GPU-BE11-0', '[Insufficient Permissions]', '[N/A]') + app(1, 45, 1),
    });
    const { devices } = await reported();
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([false, true]);
    expect(devices[0]?.reasons.processCount).toMatchObject({ name: 'noPermission' });
  });

  it('a list that failed is of no GPU', async () => {
    host.has({}, {});
    host.programs.answers.apps = () => ({ text: '', exitCode: 255 });
    const { devices } = await reported();
    expect(devices.map(({ reasons }) => reasons.processCount?.name)).toEqual(['unknown', 'unknown']);
  });

  it('a field that nvidia-smi does not know is left out, from now on', async () => {
    const unknown = ['fan.speed', 'enforced.power.limit'];
    host.programs.answers.gpus = (args) => {
      const field = unknown.find((each) => args[0]?.split(/[=,]/).includes(each));
      if (field !== undefined) return { text: `Field "${field}" is not a valid field to query.\n`, exitCode: 2 };
      return { text: rowFor(args, { index: '0', uuid: 'GPU-be11-0', 'pci.bus_id': buses[0]! }) };
    };
    const smi = host.open();
    const { devices } = await reported(smi);
    expect(devices[0]?.reasons.fanPercent).toMatchObject({ name: 'driverTooOld' });
    expect(host.programs.runs().filter(([asked]) => asked?.startsWith('--query-gpu='))).toHaveLength(3);
    await host.programs.pass(1000);
    const [asked] = host.programs.runs()[0] ?? [];
    expect(asked).not.toMatch(/fan\.speed|enforced\.power\.limit/);
  });

  it('a field that was not asked for is not left out again and again', async () => {
    host.programs.answers.gpus = () => ({ text: 'Field "no.such" is not a valid field to query.\n', exitCode: 2 });
    const smi = host.open();
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.failure?.message).toContain('"no.such"');
  });

  it('a host without GPUs has none, and that is no failure', async () => {
    host.programs.answers.gpus = () => ({ text: 'No devices were found\n', exitCode: 6 });
    const { devices, problems } = await reported();
    expect([devices, problems ?? []]).toEqual([[], []]);
  });

  it('what the run says of the host is a problem of it', async () => {
    host.programs.answers.gpus = (args) => ({
      text: rowFor(args, { index: '0', uuid: 'GPU-be11-0', 'pci.bus_id': buses[0]! }),
      exitCode: 255,
    });
    expect((await reported()).problems).toHaveLength(1);
    host.has({});
    const fine = await reported();
    expect(fine).not.toHaveProperty('problems', [expect.anything()]);
  });
});

describe('a GPU that nvidia-smi cannot open', () => {
  const lost = (busId: string, why = 'GPU is lost.  Reboot the system') =>
    `Unable to determine the device handle for GPU ${busId}: ${why}\n`;
  /** It stops at the first that it can't open, unless that is left out. */
  const stopsAt = (...unreachable: readonly number[]) => {
    host.programs.answers.gpus = (args) => {
      const asked = args[2] === '-i' ? args[3]?.split(',') : buses;
      const bad = unreachable.find((i) => asked?.some((busId) => busId.toUpperCase() === buses[i]));
      if (bad !== undefined) return { text: lost(buses[bad]!), exitCode: 15 };
      const text = buses
        .map((busId, i) => [busId, i] as const)
        .filter(([busId]) => asked?.some((each) => each.toUpperCase() === busId))
        .map(([busId, i]) => rowFor(args, { index: `${i}`, uuid: `GPU-be11-${i}`, 'pci.bus_id': busId }));
      return { text: text.join('') };
    };
  };

  it('is lost at its index, and the others are asked for by name', async () => {
    const { path, remove } = temporaryDirectory('smi-lost');
    onTestFinished(remove);
    for (const busId of buses) mkdirSync(join(path, 'gpus', busId.toLowerCase()), { recursive: true });
    stopsAt(2, 0);
    const identities = new GpuIdentities();
    vi.spyOn(identities, 'indexAt').mockImplementation((busId) => buses.indexOf(busId));
    const smi = host.open({ procDriver: path }, identities);
    smi.start();
    await host.programs.pass(0);
    const devices = smi.state.report?.devices ?? [];
    expect(devices.map(({ index, unreachable }) => [index, unreachable?.code ?? null])).toEqual([
      [0, 'GPU_IS_LOST'],
      [1, null],
      [2, 'GPU_IS_LOST'],
    ]);
    expect(devices.map(({ busId, uuid, name }) => [busId, uuid, name])).toEqual([
      [buses[0], '', ''],
      [buses[1], 'GPU-be11-1', ''],
      [buses[2], '', ''],
    ]);
    expect(devices[0]).toMatchObject({ parentUuid: '', computeCapability: '' });
    const runs = host.programs.runs();
    expect(runs.map((args) => args.slice(-2)).slice(-2)).toEqual(Array(2).fill(['-i', buses[1]?.toLowerCase()]));
  });

  it.each([
    ['that is said again when it was left out', (args: readonly string[], busId: string) => args[3] === busId, 2],
    ['beside rows of the others', () => true, 1],
  ])('%s is one GPU', async (_what, hasRow, asks) => {
    const { path, remove } = temporaryDirectory('smi-again');
    onTestFinished(remove);
    for (const busId of buses.slice(0, 2)) mkdirSync(join(path, 'gpus', busId), { recursive: true });
    host.programs.answers.gpus = (args) => {
      const row = rowFor(args, { index: '1', uuid: 'GPU-be11-1', 'pci.bus_id': buses[1]! });
      return { text: lost(buses[0]!) + (hasRow(args, buses[1]!) ? row : ''), exitCode: 15 };
    };
    const smi = host.open({ procDriver: path });
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.report?.devices.map(({ busId }) => busId)).toEqual([buses[0], buses[1]]);
    expect(host.begins()).toBe(asks);
  });

  it.each([
    ['never gives a row', lost(buses[0]!), 2],
    ['does not work', 'NVIDIA-SMI has failed\n', 1],
  ])('a driver that %s is not asked again and again', async (_what, text, asks) => {
    const { path, remove } = temporaryDirectory('smi-never');
    onTestFinished(remove);
    for (const busId of buses.slice(0, 2)) mkdirSync(join(path, 'gpus', busId), { recursive: true });
    host.programs.answers.gpus = () => ({ text, exitCode: 9 });
    const smi = host.open({ procDriver: path });
    smi.start();
    await host.programs.pass(0);
    expect(host.begins()).toBe(asks);
  });

  it('where the driver lists none, those that were seen before are asked for', async () => {
    const identities = new GpuIdentities();
    vi.spyOn(identities, 'busIds').mockReturnValue([buses[0]!, buses[1]!]);
    vi.spyOn(identities, 'indexAt').mockImplementation((busId) => (busId === buses[0] ? 3 : null) as never);
    stopsAt(0);
    const smi = host.open({}, identities);
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.report?.devices.map(({ index, busId }) => [index, busId])).toEqual([
      [1, buses[1]],
      [3, buses[0]],
    ]);
  });

  it('where it is the only one, none is left to ask for, and it is lost', async () => {
    const identities = new GpuIdentities();
    stopsAt(1);
    const smi = host.open({}, identities);
    smi.start();
    await host.programs.pass(0);
    expect(smi.state.report?.devices.map(({ busId, unreachable }) => [busId, unreachable?.code])).toEqual([
      [buses[1], 'GPU_IS_LOST'],
    ]);
    expect(host.begins()).toBe(1);
  });

  it('takes no index that another has', async () => {
    host.programs.answers.gpus = (args) => ({
      text:
        rowFor(args, { index: '0', uuid: 'GPU-be11-0', 'pci.bus_id': buses[0]! }) +
        rowFor(args, { index: '1', uuid: 'GPU-be11-1', 'pci.bus_id': buses[1]! }) +
        lost(buses[2]!) +
        lost('00000000:D1:00.0', 'GPU requires reset') +
        lost(buses[1]!),
    });
    const smi = host.open();
    smi.start();
    await host.programs.pass(0);
    const devices = smi.state.report?.devices ?? [];
    expect(devices.map(({ index, busId, unreachable }) => [index, busId, unreachable?.code ?? null])).toEqual([
      [0, buses[0], null],
      [1, buses[1], null],
      [2, buses[2], 'GPU_IS_LOST'],
      [3, '00000000:D1:00.0', 'GPU_RESET_REQUIRED'],
    ]);
  });

  it('processes that cannot be listed for it are known of the others', async () => {
    host.has({}, {});
    const rows = host.programs.answers.gpus;
    host.programs.answers.gpus = (args) => ({ text: `${rows(args)?.text}${lost(buses[2]!)}`, exitCode: 15 });
    host.programs.answers.apps = () => ({
      text: `GPU-be11-1, 45, 8\nGPU-be11-2, 46, 8\n${lost(buses[2]!)}`,
      exitCode: 15,
    });
    const smi = host.open();
    smi.start();
    await host.programs.pass(0);
    const { devices, processes } = smi.state.report!;
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([true, true, false]);
    expect(processes.map(({ pid }) => pid)).toEqual([45]);
  });
});
