import { describe, expect, it } from 'vitest';
import { addUtilization, larger, parsePmon, readPmon } from '../../../lib/gpu/nvidia/pmon.js';
import type { OpenGpu } from '../../../lib/gpu/nvidia/report.js';
import type { ReportedProcess } from '../../../lib/gpu/report.js';

const MiB = 1024 * 1024;
const gpu = (index: number, over: Partial<OpenGpu> = {}): OpenGpu => ({
  ...{ index, handleCode: 0, uuid: `GPU-${index}`, parentUuid: '', name: '', busId: '', computeCapability: '' },
  values: {},
  codes: {},
  ...over,
});

describe('a row of pmon', () => {
  const heading = '# gpu pid type sm fb command';
  const rowsOf = (...lines: readonly string[]) => parsePmon([heading, ...lines].join('\n'));

  it('is of a process on a GPU; a dash says that the GPU has none, and is listed all the same', () => {
    const found = rowsOf('  3 7 C 5 2 x  ', ' 12 - - - - -', '4 0 C 5 2 x', '5 12 C 0 2 x');
    expect(found?.rows).toEqual([
      { index: 3, pid: 7, bytes: 2 * MiB, utilization: 5 },
      { index: 5, pid: 12, bytes: 2 * MiB, utilization: 0 },
    ]);
    expect([...(found?.listed ?? [])]).toEqual([3, 12, 4, 5]);
  });

  it.each([
    'x3 7 C 5 2 x',
    '3x 7 C 5 2 x',
    '3 x7 C 5 2 x',
    '3 7x C 5 2 x',
    '3 -7 C 5 2 x',
    '3',
    '',
    '   # 3 7 C',
    'x 7',
    '3 -x',
  ])('%j is none', (line) => {
    const found = rowsOf(line);
    expect(found?.rows).toEqual([]);
    expect(found?.listed.size).toBe(0);
  });

  it.each([
    ['0', 0],
    ['100', 100],
    ['101', null],
    ['-1', null],
    ['-', null],
    ['x', null],
  ])('with %s percent does %s', (sm, utilization) => {
    expect(rowsOf(`3 7 C ${sm} 2 x`)?.rows).toMatchObject([{ utilization }]);
  });

  it('lacks what the heading lacks, and a cell that is not there is no number', () => {
    expect(parsePmon('# gpu pid type\n3 7 C')?.rows).toEqual([{ index: 3, pid: 7, bytes: null, utilization: null }]);
    expect(rowsOf('3 7 C')?.rows).toEqual([{ index: 3, pid: 7, bytes: null, utilization: null }]);
    expect(parsePmon('# pid type\n3 7 C')).toBeNull();
    expect(parsePmon('x gpu pid\n3 7')).toBeNull();
    expect(parsePmon('# type pid\n# gpu pid\n3 7')?.rows).toHaveLength(1);
    expect(parsePmon('# pid type gpu\n3 7 C')).toBeNull();
    // A command may end in anything.
    expect(rowsOf('3 7 C 5 2 x#')?.rows).toHaveLength(1);
  });
});

describe('asking pmon', () => {
  /** Answers each run with the next text, the last one for ever. */
  async function ask(
    texts: readonly string[],
    devices: readonly OpenGpu[],
    { exitCode = 0, only = [] as string[] } = {},
  ) {
    const runs: (readonly string[])[] = [];
    const run = async (args: readonly string[]) => {
      runs.push(args);
      return { text: texts[Math.min(runs.length, texts.length) - 1] as string, exitCode };
    };
    const { rows, listed, code } = await readPmon(run, devices, only);
    return { pids: rows.map(({ pid }) => pid), listed: [...listed], code, runs };
  }
  const all = ['pmon', '-c', '1', '-s', 'um'];
  const shows = (...rows: readonly string[]) => ['# gpu pid type sm', ...rows].join('\n');

  it('asks once for all, then by place or number for those that it left out and can show', async () => {
    const devices = [
      gpu(0),
      gpu(1, { busId: '0000:01:00.0' }),
      gpu(2),
      gpu(3, { handleCode: 15 }),
      gpu(4, { values: { migEnabled: 1 } }),
    ];
    const found = await ask([shows('0 10 C 1', '0 11 C 1'), shows('1 12 C 1', '0 10 C 1'), shows('2 - - -')], devices);
    expect(found.runs).toEqual([all, [...all, '-i', '0000:01:00.0,2'], [...all, '-i', '2']]);
    // What was shown before is not counted twice.
    expect(found).toMatchObject({ pids: [10, 11, 12], listed: [0, 1, 2] });
    expect((await ask([shows('0 10 C 1')], [gpu(0)], { only: ['-i', '0'] })).runs).toEqual([[...all, '-i', '0']]);
    expect((await ask([shows('0 10 C 1')], [gpu(0), gpu(1)])).runs).toHaveLength(2);
    expect((await ask([shows('0 10 C 1')], [])).runs).toHaveLength(1);
  });

  it.each([
    ['nothing of the kind', shows('0 10 C 1'), 0, 999],
    ['not supported', 'Not supported on the device(s)', 0, 3],
    ['not supported, behind another line', 'warning\n  not supported here  ', 0, 3],
    [
      'not supported, as a command',
      `# gpu pid type sm command\n0 10 C 1 not supported\n  0 11 C 1\tNot supported`,
      0,
      999,
    ],
    [
      'not supported, as a command behind a dash',
      `# gpu pid type sm command\n10  -  not supported\n# not supported`,
      0,
      999,
    ],
    ['within a line', 'this is not supported', 0, 999],
    ['no permission', 'x', 4, 4],
    ['a mismatch', 'Failed to initialize NVML: Driver/library version mismatch', 18, 18],
    ['a lost GPU', 'Unable to determine the device handle for GPU0000:1B:00.0: Unknown Error', 255, 999],
  ])('says why a GPU is left out: %s', async (_title, text, exitCode, code) => {
    expect((await ask([text], [gpu(0), gpu(1)], { exitCode })).code).toBe(code);
  });

  it('a command with a message in it is none: also with several digits and blanks', async () => {
    for (const row of ['12   345   not supported', '1 -\tversion mismatch', "1 2 NVML: couldn't find libnvidia-ml"])
      expect([row, (await ask([`# gpu pid command\n${row}`], [gpu(7)])).code]).toEqual([row, 999]);
    for (const line of [
      'x 1 2 version mismatch',
      '1x 2 version mismatch',
      '1 x version mismatch',
      '1 2version mismatch',
    ])
      expect([line, (await ask([line], [gpu(7)])).code]).toEqual([line, 18]);
  });
});

describe('what pmon adds to a list of processes', () => {
  const listed = (pid: number, device = 0): ReportedProcess => ({ device, pid, bytes: 5, utilization: null });
  const row = (index: number, pid: number, utilization: number | null, bytes: number | null = 9) => ({
    index,
    pid,
    utilization,
    bytes,
  });

  function add(
    rows: Parameters<typeof addUtilization>[0]['rows'],
    devices: readonly OpenGpu[],
    processes: ReportedProcess[] = [],
    { shown = [0], code = 999 } = {},
  ) {
    addUtilization({ rows, listed: new Set(shown), code }, devices, processes);
    return processes;
  }

  it('is what each does, by GPU and pid, and processes that no other list has', () => {
    const devices = [gpu(1), gpu(0)];
    const processes = add(
      [row(1, 10, 7), row(0, 10, 8), row(0, 11, 9)],
      devices,
      [listed(10, 1), listed(12, 0), listed(10, 0)],
      { shown: [0, 1] },
    );
    expect(processes).toEqual([
      { ...listed(10, 1), utilization: 8 },
      listed(12, 0),
      { ...listed(10, 0), utilization: 7 },
      { device: 1, pid: 11, bytes: 9, utilization: 9 },
    ]);
    expect(devices.map(({ values }) => values.processUtilization)).toEqual([0, 0]);
  });

  it('of one that stands there twice is the larger of each figure; a dash takes no number away', () => {
    const rows = [row(0, 10, null, 3), row(0, 10, 40, null), row(0, 10, 30, 2)];
    expect(add(rows, [gpu(0)])).toEqual([{ device: 0, pid: 10, bytes: 3, utilization: 40 }]);
    expect([larger(1, 2), larger(2, 1), larger(null, 1), larger(1, null), larger(null, null)]).toEqual([
      2,
      2,
      1,
      1,
      null,
    ]);
  });

  it('of one without a sample is 0 where the GPU did nothing or others have one, else not known', () => {
    const utilizations = (rows: readonly ReturnType<typeof row>[], values: OpenGpu['values'] = {}) =>
      add(rows, [gpu(0, { values })]).map(({ utilization }) => utilization);
    expect(utilizations([row(0, 10, null)])).toEqual([null]);
    expect(utilizations([row(0, 10, null)], { utilizationPercent: 0 })).toEqual([0]);
    expect(utilizations([row(0, 10, null)], { utilizationPercent: 1 })).toEqual([null]);
    expect(utilizations([row(0, 10, null), row(0, 11, 4)])).toEqual([0, 4]);
    expect(utilizations([row(0, 10, null), row(1, 11, 4)])).toEqual([null]);
  });

  it('is nothing of a GPU that it leaves out: why is said where that one has processes', () => {
    const codeOf = (device: OpenGpu, processes: ReportedProcess[], code = 4) => {
      expect(add([row(0, 10, 5)], [device], processes, { shown: device.index === 0 ? [0] : [], code })).toEqual(
        processes,
      );
      return [device.codes.processUtilization, device.values.processUtilization];
    };
    expect(codeOf(gpu(1), [listed(10)])).toEqual([4, undefined]);
    expect(codeOf(gpu(1), [listed(10), listed(11, 1)])).toEqual([4, undefined]);
    expect(codeOf(gpu(1), [])).toEqual([undefined, undefined]);
    expect(codeOf(gpu(1), [listed(10, 1)])).toEqual([undefined, undefined]);
    expect(codeOf(gpu(0, { values: { migEnabled: 1 } }), [listed(11)])).toEqual([3, undefined]);
    expect(codeOf(gpu(1, { values: { migEnabled: 1 } }), [listed(11)])).toEqual([3, undefined]);
    expect(codeOf(gpu(0, { handleCode: 15 }), [listed(10)])).toEqual([undefined, undefined]);
  });

  it('of a GPU without processes is nothing', () => {
    const device = gpu(0);
    add([], [device]);
    expect([device.values, device.codes]).toEqual([{}, {}]);
  });
});
