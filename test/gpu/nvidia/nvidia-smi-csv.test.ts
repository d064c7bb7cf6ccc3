import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { throttleReasons } from '../../../lib/gpu/nvidia/codes.js';
import {
  computeAppsFields,
  GpuQuery,
  hostProblem,
  listFailure,
  parseComputeApps,
  parseFailure,
  parseGpuRows,
  saysNoDevices,
  tokenCode,
} from '../../../lib/gpu/nvidia/nvidia-smi-csv.js';
import { parseNvmlLine } from '../../../lib/gpu/nvidia/nvml-lines.js';
import { parsePmon, readPmon } from '../../../lib/gpu/nvidia/pmon.js';

const MiB = 1024 * 1024;
const uuid = 'GPU-8f6a1f0e-3c1d-4a55-9be0-6a9f4b1de111';
const query = new GpuQuery();

/** Cells in the order of the query, by name; the rest is "[N/A]". */
function row(cells: Readonly<Record<string, string>>): string {
  const all: Readonly<Record<string, string>> = {
    index: '0',
    uuid,
    'pci.bus_id': '00000000:01:00.0',
    driver_version: '550.54.15',
    name: 'NVIDIA L40S',
    ...cells,
  };
  return query.argument
    .split(',')
    .map((name) => all[name] ?? '[N/A]')
    .join(', ');
}

describe('rows of GPUs', () => {
  it('takes values, and from bracketed tokens their reasons', () => {
    const { rows, driverVersion } = parseGpuRows(
      row({
        'memory.total': '46068',
        'memory.reserved': '609',
        'memory.used': '1235',
        'power.draw': '34.17',
        'fan.speed': '[Unknown Error]',
        'remapped_rows.pending': 'No',
        'remapped_rows.failure': 'Yes',
        'clocks_event_reasons.active': '0x0000000000000004',
        'mig.mode.current': 'Disabled',
        'temperature.gpu': '[Insufficient Permissions]',
        compute_cap: '8.9',
      }),
      query,
    );
    expect(driverVersion).toBe('550.54.15');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ index: 0, uuid, name: 'NVIDIA L40S', computeCapability: '8.9', handleCode: 0 });
    expect(rows[0]!.values).toEqual({
      memoryTotalBytes: 46068 * MiB,
      memoryReservedBytes: 609 * MiB,
      memoryUsedBytes: 1235 * MiB,
      powerWatts: 34.17,
      remapPending: 0,
      remapFailed: 1,
      throttleBits: 4,
      migEnabled: 0,
    });
    expect(rows[0]!.codes).toMatchObject({
      fanPercent: 999,
      temperatureCelsius: 4,
      utilizationPercent: 3,
      nvlinksTotal: 13,
    });
  });

  it.each([
    ['[N/A]', 3],
    ['[n/a]', 3],
    ['N/A', 3],
    ['[Not Supported]', 3],
    ['', 3],
    ['[Insufficient Permissions]', 4],
    ['[Function Not Found]', 13],
    ['[Requested functionality has been deprecated]', 26],
    ['[GPU is lost]', 15],
    ['[GPU requires reset]', 16],
    ['[Unknown Error]', 999],
    ['[Unknown]', 999],
    ['ERR!', 999],
    ['[whatever a later release says]', 999],
  ])('%s is no value, for reason %i', (cell, code) => {
    expect(tokenCode(cell)).toBe(code);
    const { rows } = parseGpuRows(row({ 'memory.used': cell }), query);
    expect(rows[0]!.values.memoryUsedBytes).toBeUndefined();
    expect(rows[0]!.codes.memoryUsedBytes).toBe(code);
  });

  const rowOf = (cells: Readonly<Record<string, string>>) => parseGpuRows(row(cells), query).rows[0];

  it.each([
    ['power.draw', 'powerWatts', '34.17', 34.17],
    ['power.draw', 'powerWatts', 'x34', null],
    ['power.draw', 'powerWatts', '34 W', null],
    ['memory.total', 'memoryTotalBytes', '12 MiB', 12 * MiB],
    ['memory.total', 'memoryTotalBytes', '12MiB', 12 * MiB],
    ['memory.total', 'memoryTotalBytes', '12 MiB x', null],
    ['memory.total', 'memoryTotalBytes', '-1', null],
    ['clocks_event_reasons.active', 'throttleBits', 'x0x4', null],
    ['clocks_event_reasons.active', 'throttleBits', '0x4 x', null],
    ['clocks_event_reasons.active', 'throttleBits', '0xF', 15],
  ] as const)('%s: %s of "%s%s" is a number or none', (name, field, cell, value) => {
    const found = rowOf({ [name]: cell });
    expect(found?.values[field] ?? null).toBe(value);
    expect(found?.codes[field] === undefined).toBe(value !== null);
  });

  it.each([
    ['12.0', '12.0'],
    ['8.10', '8.10'],
    ['x8.9', ''],
    ['8.9x', ''],
    ['8', ''],
    ['[N/A]', ''],
  ])('a compute capability of %s is "%s"', (cell, shown) =>
    expect(rowOf({ compute_cap: cell })?.computeCapability).toBe(shown),
  );

  it('a row begins with an index and a board; what has neither is none, and a board may have no name', () => {
    for (const index of ['', 'x1', '1x', '12345', '-1']) expect([index, rowOf({ index })]).toEqual([index, undefined]);
    expect(rowOf({ index: '12' })?.index).toBe(12);
    for (const name of ['', '[N/A]', '[Unknown Error]', 'N/A'])
      expect(rowOf({ uuid: name })).toMatchObject({ uuid: '' });
    for (const name of ['?', 'a b', '-x12']) expect([name, rowOf({ uuid: name })]).toEqual([name, undefined]);
    expect(rowOf({ name: '[N/A]', 'pci.bus_id': '[N/A]' })).toMatchObject({ name: '', busId: '', parentUuid: '' });
    // A cell short.
    expect(parseGpuRows(row({}).replace(/, [^,]*$/, ''), query).rows).toEqual([]);
  });

  it('nothing at all is said of nothing', () => {
    const none = { rows: [], driverVersion: '', invalidField: null, lost: [], corrupted: [] };
    expect(parseGpuRows('', query)).toEqual(none);
    expect(parseGpuRows(' Field "a.b" is not a valid field to query.', query)).toEqual({
      ...none,
      invalidField: 'a.b',
    });
    expect(parseGpuRows('x Field "a.b" is not a valid field to query.', query)).toEqual(none);
  });

  it('a field that this nvidia-smi does not know has that as its reason, and those of no number have none', () => {
    let old = new GpuQuery();
    for (const name of ['power.draw', 'driver_version', 'compute_cap']) old = old.without(name) ?? old;
    expect(old.argument.split(',')).not.toContain('power.draw');
    const cells = old.argument.split(',').map((name) => ({ index: '0', uuid, name: 'L4' })[name] ?? '[N/A]');
    const [found] = parseGpuRows(cells.join(', '), old).rows;
    expect(found?.codes.powerWatts).toBe(13);
    expect(Object.keys(found?.codes ?? {})).not.toEqual(expect.arrayContaining(['driverVersion']));
    expect(Object.keys(found?.codes ?? {})).not.toEqual(expect.arrayContaining(['computeCapability']));
    expect(found?.computeCapability).toBe('');
  });

  it('an exit is a problem of the host where no GPU explains it', () => {
    const of = (text: string, exitCode: number | null) =>
      hostProblem(parseGpuRows(text, query), exitCode)?.text ?? null;
    const good = row({});
    const warned = (busId: string) => `${good}\nWARNING: infoROM is corrupted at gpu ${busId}`;
    const lost = `${good}\nUnable to determine the device handle for GPU 0000:02:00.0: GPU is lost.`;
    expect([of(good, 0), of(good, null), of(lost, 0)]).toEqual([null, null, null]);
    // Its cells without a value are of that reason.
    expect(of(good, 3)).toBeNull();
    expect(of(good, 2)).toContain('nvidia-smi ended with 2 and says of no GPU why');
    expect(of(good, 255)).toContain('nvidia-smi ended with 255');
    // A GPU that is out of reach explains it, but not what only a corrupted infoROM does.
    expect([of(lost, 255), of(lost, 15)]).toEqual([null, null]);
    expect(of(lost, 14)).toContain('ended with 14');
    expect(of(warned('0000:01:00.0'), 14)).toBeNull();
    expect(of(warned('0000:01:00.0'), 15)).toContain('ended with 15');
    expect(of(warned('0000:09:00.0'), 0)).toContain('of GPU 0000:09:00.0, which it does not list');
    // A cell that says the same as the exit, of one of several GPUs.
    const second = row({
      index: '1',
      uuid: `${uuid}2`,
      'pci.bus_id': '00000000:03:00.0',
      'power.draw': '[Unknown Error]',
    });
    expect(of(`${good}\n${second}`, 255)).toBeNull();
    expect(of(`${warned('0000:01:00.0')}\n${second}`, 14)).toBeNull();
  });

  it('keeps a comma in the name of a card', () => {
    expect(parseGpuRows(row({ name: 'Card, with comma' }), query).rows[0]!.name).toBe('Card, with comma');
  });

  it('a memory of 0 MiB is an unknown memory', () => {
    const { rows } = parseGpuRows(row({ 'memory.total': '0', 'memory.used': '0' }), query);
    expect(rows[0]!.values).toEqual({});
    expect(rows[0]!.codes).toMatchObject({ memoryTotalBytes: 3, memoryUsedBytes: 3 });
  });

  it('warnings between rows are not rows; one names the GPU whose infoROM is corrupted', () => {
    const text = [
      'WARNING: infoROM is corrupted at gpu 0000:01:00.0',
      row({}),
      row({ index: '1', uuid: uuid.replace('111', '222'), 'pci.bus_id': '00000000:02:00.0' }),
      '',
    ].join('\n');
    expect(parseGpuRows(text, query).rows.map(({ inforomCorrupted }) => inforomCorrupted ?? false)).toEqual([
      true,
      false,
    ]);
  });

  it.each([
    [
      'Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to recover this GPU',
      '00000000:02:00.0',
      15,
    ],
    ['Unable to determine the device handle for GPU0000:CF:00.0: Unknown Error', '00000000:CF:00.0', 999],
    ['Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error', '00000000:34:00.0', 999],
    ['Unable to determine the device handle for gpu 00000000:1b:00.0: GPU requires reset', '00000000:1B:00.0', 16],
  ])('%s', (line, busId, code) => {
    expect(parseGpuRows(`${line}\n${row({})}`, query)).toMatchObject({ lost: [{ busId, code }], rows: [{ index: 0 }] });
  });

  it('a field that is refused is asked for by its older name, then no more', () => {
    const said = 'Field "clocks_event_reasons.active" is not a valid field to query.\n\n';
    expect(parseGpuRows(said, query)).toMatchObject({ rows: [], invalidField: 'clocks_event_reasons.active' });
    const older = query.without('clocks_event_reasons.active')!;
    expect(older.argument).toContain('clocks_throttle_reasons.active');
    const without = older.without('clocks_throttle_reasons.active')!;
    expect(without.argument).not.toContain('reasons');
    expect(without.missing).toEqual(['throttleBits']);
    expect(query.without('index')).toBeNull();
    expect(query.without('something.else')).toBeNull();
    expect(older.without('clocks_event_reasons.active')).toBeNull();
  });

  it('any text at all: never throws, never an impossible row', () => {
    const cell = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom('[N/A]', '0', '-1', '1e9', '0x10', 'Yes', uuid, '99999999999999999999', 'NaN', '[', ']'),
    );
    const line = fc.oneof(
      fc.string(),
      fc.array(cell, { maxLength: 30 }).map((cells) => cells.join(', ')),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const { rows } = parseGpuRows(lines.join('\n'), query);
        for (const gpu of rows) {
          expect(Number.isInteger(gpu.index)).toBe(true);
          expect(gpu.uuid).toMatch(/^GPU-/);
          for (const value of Object.values(gpu.values)) expect(Number.isFinite(value)).toBe(true);
        }
        parseComputeApps(lines.join('\n'));
        parsePmon(lines.join('\n'));
        parseFailure(lines.join('\n'), null);
        for (const each of lines) parseNvmlLine(each);
      }),
    );
  });

  it('whatever is written into a row is read out of it', () => {
    fc.assert(
      fc.property(
        fc.record({
          total: fc.integer({ min: 1, max: 1_000_000 }),
          used: fc.nat(1_000_000),
          power: fc.nat(100_000),
          fan: fc.nat(200),
          bits: fc.nat(0x1ff),
          name: fc
            .stringMatching(/^[A-Za-z][A-Za-z0-9 ,.-]{0,40}[A-Za-z0-9]$/)
            .filter((name) => !/,(?! )| {2}|, $/.test(name)),
        }),
        ({ total, used, power, fan, bits, name }) => {
          const text = row({
            'memory.total': String(total),
            'memory.used': String(used),
            'power.draw': (power / 100).toFixed(2),
            'fan.speed': String(fan),
            'clocks_event_reasons.active': `0x${bits.toString(16).padStart(16, '0')}`,
            name,
          });
          const [gpu] = parseGpuRows(text, query).rows;
          expect(gpu!.values).toEqual({
            memoryTotalBytes: total * MiB,
            memoryUsedBytes: used * MiB,
            powerWatts: power / 100,
            fanPercent: fan,
            throttleBits: bits,
          });
          expect(gpu!.name.replace(/ ?, ?/g, ',')).toBe(name.replace(/ ?, ?/g, ','));
        },
      ),
    );
  });
});

describe('rows of processes', () => {
  it('the name of a process is not asked for: it may hold commas, line ends and words that look like errors', () => {
    expect(computeAppsFields.split(',')).toEqual(['gpu_uuid', 'pid', 'used_gpu_memory']);
  });

  it('only whole rows are rows, whatever stands between them, and a board of any kind keeps its own', () => {
    const id = fc.oneof(fc.constant(uuid), fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:/-]{3,60}$/));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(id, fc.integer({ min: 1, max: 4_194_304 }), fc.nat(100_000)), { maxLength: 8 }),
        fc.string().filter((line) => line.split(',').length !== 3),
        (rows, noise) => {
          const text = rows.map((cells) => cells.join(', ')).join(`\n${noise}\n`);
          expect(parseComputeApps(text).apps).toEqual(
            rows.map(([uuid, pid, mib]) => ({ uuid, pid, bytes: mib * MiB })),
          );
        },
      ),
    );
  });

  it.each(['[N/A]', '[Not Supported]', '[Unknown Error]', '[GPU is lost]'])('memory %s is null', (cell) => {
    expect(parseComputeApps(`${uuid}, 79, ${cell}`).apps).toEqual([{ uuid, pid: 79, bytes: null }]);
  });

  it.each([
    ['[Insufficient Permissions]', 4],
    ['[Unknown Error]', 999],
    ['[N/A]', 3],
    ['[GPU is lost]', 15],
  ])('a row of %s is no process, and says why', (token, code) => {
    expect(parseComputeApps(`${uuid}, ${token}, ${token}`)).toEqual({
      apps: [],
      refused: [{ uuid, code }],
    });
  });

  it('a list that ended ill is not taken for an empty one', () => {
    expect(listFailure('', 0, [])).toBeNull();
    expect(listFailure('WARNING: infoROM is corrupted at gpu 0000:67:00.0\n', 14, [])).toBeNull();
    expect(listFailure('', 4, [])).toBe(4);
    expect(listFailure('', 255, [])).toBe(999);
    expect(listFailure('', null, [])).toBe(999); // killed by a signal that was not ours
    expect(listFailure('Failed to initialize NVML: Driver/library version mismatch\n', 18, [])).toBe(18);
    const lost = 'Unable to determine the device handle for GPU0000:1B:00.0: Unknown Error\n';
    expect(listFailure(lost, 255, [])).toBe(999);
    // That one is known to be lost, and the others were listed.
    expect(listFailure(lost, 255, [{ busId: '00000000:1B:00.0', code: 999 }])).toBeNull();
  });

  it('pmon is asked until each GPU is shown or no more are, whatever it shows in a run', async () => {
    const gpu = (index: number) => ({
      ...{ index, handleCode: 0, uuid: `GPU-${index}`, parentUuid: '', name: '', busId: '', computeCapability: '' },
      values: {},
      codes: {},
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(16),
        fc.integer({ min: 1, max: 20 }),
        fc.uniqueArray(fc.nat(15)),
        async (count, limit, hidden) => {
          let runs = 0;
          const run = async (args: readonly string[]) => {
            runs++;
            const asked = args.includes('-i') ? args.at(-1)!.split(',').map(Number) : [...Array(count).keys()];
            const shown = asked.filter((index) => !hidden.includes(index)).slice(0, limit);
            const rows = shown.map((index) => `${index} ${100 + index} C ${index}`);
            return { text: ['# gpu pid type sm', ...rows].join('\n'), exitCode: 0 };
          };
          const devices = Array.from({ length: count }, (_unused, index) => gpu(index));
          const { rows, listed } = await readPmon(run, devices, []);
          const visible = devices.map(({ index }) => index).filter((index) => !hidden.includes(index));
          expect([...listed]).toEqual(visible);
          expect(rows.map(({ index, pid }) => [index, pid])).toEqual(visible.map((index) => [index, 100 + index]));
          expect(runs).toBeLessThanOrEqual(count + 1);
        },
      ),
    );
  });

  it('pmon is read by the names of its heading', () => {
    const older = `# gpu        pid  type    sm   mem   enc   dec    fb   command
# Idx          #   C/G     %     %     %     %    MB   name
    0      12345     C    97    60     -     -  70254   python
    1          -     -     -     -     -     -     -   -
    2      12346     G     -     -     -     -    40   Xorg
`;
    expect(parsePmon(older)?.rows).toEqual([
      { index: 0, pid: 12345, bytes: 70254 * MiB, utilization: 97 },
      { index: 2, pid: 12346, bytes: 40 * MiB, utilization: null },
    ]);
    const newer = `# gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command
# Idx           #    C/G      %      %      %      %      %      %     MB     MB    name
    0       4101     C     87     87      -      -      -      -  70254      0    VLLM::EngineCore
    0       4102   M+C    200     87      -      -      -      -      -      0    a b c
`;
    expect(parsePmon(newer)?.rows).toEqual([
      { index: 0, pid: 4101, bytes: 70254 * MiB, utilization: 87 },
      { index: 0, pid: 4102, bytes: null, utilization: null },
    ]);
    expect(parsePmon('Not supported on the device(s)\n')).toBeNull();
  });
});

describe('failures of the whole tool', () => {
  const message =
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.";
  it.each([
    [message, 9, 9],
    [message, 0, 9],
    ['Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.161', 18, 18],
    ['Failed to initialize NVML: Unknown Error', 255, 999],
    ['Failed to initialize NVML: Insufficient Permissions', 4, 4],
    ["NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.", 12, 12],
    ['', 9, 9],
    ['', 1, null],
    ['', null, null],
  ])('%s (exit %s)', (text, exitCode, code) => {
    expect(parseFailure(text, exitCode)).toBe(code);
  });

  it('no devices is an answer', () => {
    expect(saysNoDevices('No devices were found\n')).toBe(true);
    expect(saysNoDevices(message)).toBe(false);
  });
});

describe('throttle reasons', () => {
  it('each bit has its word, and an unknown one its number', () => {
    expect(throttleReasons(0)).toEqual([]);
    expect(throttleReasons(0x44)).toEqual(['powerCap', 'thermalHardware']);
    expect(throttleReasons(0x200 + 0x1)).toEqual(['idle', 'other:0x200']);
    expect(throttleReasons(0x1ff)).toHaveLength(9);
  });
});
