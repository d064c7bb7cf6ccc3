import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitHolds } from '../../lib/launch/apply-limits.js';
import {
  formatCpuList,
  type LimitOptions,
  limitNames,
  limitWrites,
  parseBytes,
  parseCpu,
  parseCpuList,
  parseIo,
  parseLimits,
  unitProperties,
} from '../../lib/launch/limits.js';
import { HivepulseError } from '../../lib/util/errors.js';

function refusal(options: LimitOptions): HivepulseError {
  try {
    parseLimits(options);
  } catch (error) {
    expect(error).toBeInstanceOf(HivepulseError);
    return error as HivepulseError;
  }
  throw new Error(`${JSON.stringify(options)} was taken`);
}

const writes = (options: LimitOptions) =>
  limitWrites(parseLimits(options), (device) => (device === '/dev/sda' ? '8:0' : device)).map(
    ({ file, value }) => `${file}=${value}`,
  );
const properties = (options: LimitOptions) => unitProperties(parseLimits(options)).map(({ setting }) => setting);

describe('cpu', () => {
  it.each([
    ['200%', 200_000, 100_000],
    ['50%', 50_000, 100_000],
    ['0.5%', 1000, 200_000],
    ['0.1%', 1000, 1_000_000],
    ['1.5', 150_000, 100_000],
    [2, 200_000, 100_000],
    ['50000/100000', 50_000, 100_000],
    ['max/50000', Number.POSITIVE_INFINITY, 50_000],
    ['max', Number.POSITIVE_INFINITY, 100_000],
  ])('%s is %d of %d microseconds', (given, quotaUsec, periodUsec) => {
    expect(parseCpu(given)).toEqual({ quotaUsec, periodUsec });
  });

  it.each([
    '-5%',
    'NaN%',
    '0%',
    '',
    '%',
    'abc',
    '1e3',
    '0x10%',
    '5%%',
    '0.05%',
    'Infinity',
    '1/0',
    '500/100000',
    '1000/999',
    '1000/1000001',
    '99999999%',
    NaN,
    -1,
  ])('spawn_invalid_cpu_limit: %j names --cpu and what is expected', (given) => {
    const error = refusal({ cpu: given });
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.subject).toBe('--cpu');
    expect(error.message).toMatch(/^--cpu is not valid: .../);
  });

  it('every share from 0.1 % to 10,000 cores gives a quota that the kernel takes and that means the share', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 10_000, noNaN: true }), (cores) => {
        const { quotaUsec, periodUsec } = parseCpu(`${cores.toFixed(9)}`);
        expect(Number.isInteger(quotaUsec) && Number.isInteger(periodUsec)).toBe(true);
        expect(quotaUsec).toBeGreaterThanOrEqual(1000);
        expect(periodUsec).toBeGreaterThanOrEqual(1000);
        expect(periodUsec).toBeLessThanOrEqual(1_000_000);
        expect(Math.abs(quotaUsec / periodUsec - cores)).toBeLessThanOrEqual(Math.max(cores * 0.001, 1e-5));
      }),
    );
  });

  it('any text is taken whole or refused by name, never half', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-+0-9.%/maxNinf]{0,12}$/)), (text) => {
        try {
          const { quotaUsec, periodUsec } = parseCpu(text);
          expect(quotaUsec).toBeGreaterThanOrEqual(1000);
          expect(periodUsec).toBeGreaterThanOrEqual(1000);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_OPTION', subject: '--cpu' });
        }
      }),
    );
  });
});

describe('sizes', () => {
  it.each([
    ['24G', 24 * 2 ** 30],
    ['24GiB', 24 * 2 ** 30],
    ['512M', 512 * 2 ** 20],
    ['1GiB', 2 ** 30],
    ['1.5G', 1.5 * 2 ** 30],
    ['4k', 4096],
    ['2 TiB', 2 * 2 ** 40],
    ['1048576', 2 ** 20],
    [1_073_741_824, 2 ** 30],
    ['100B', 100],
    ['max', Number.POSITIVE_INFINITY],
  ])('%s is %d bytes', (given, bytes) => expect(parseBytes(given)).toBe(bytes));

  it.each(['', 'G', '-1G', '1GB', '1.5', '1e9', '24 G B', '1Gi B', '9999999P', 'NaN', '0x10'])('%j is none', (given) =>
    expect(parseBytes(given)).toBeNull(),
  );

  it('what a unit says is what comes out', () => {
    const units = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
    fc.assert(
      fc.property(fc.nat(4000), fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[])), (count, unit) => {
        for (const text of [`${count}${unit}`, `${count}${unit}iB`, `${count}${unit.toLowerCase()}`]) {
          expect(parseBytes(text)).toBe(count * units[unit]);
        }
      }),
    );
  });

  it('GB is refused with the word that is meant', () => {
    expect(refusal({ memory: '24GB' }).message).toContain('GiB');
  });

  it.each([
    [{ memory: '0' }, '--memory'],
    [{ memory: 'lots' }, '--memory'],
    [{ memoryHigh: '' }, '--memory-high'],
    [{ memory: '1G', memoryHigh: '2G' }, '--memory-high'],
    [{ swap: '-1' }, '--swap'],
    [{ pids: 0 }, '--pids'],
    [{ pids: '1.5' }, '--pids'],
    [{ pids: '99999999' }, '--pids'],
    [{ cpuset: '3-1' }, '--cpuset'],
    [{ cpuset: '' }, '--cpuset'],
    [{ cpuset: 'all' }, '--cpuset'],
    [{ io: ['/dev/sda'] }, '--io'],
    [{ io: ['/dev/../etc rbps=1'] }, '--io'],
    [{ io: ['sda rbps=1M'] }, '--io'],
    [{ io: ['/dev/sda rbps=0'] }, '--io'],
    [{ io: ['/dev/sda speed=1'] }, '--io'],
    [{ io: ['/dev/sda rbps=1 rbps=2'] }, '--io'],
    [{ io: ['/dev/sda rbps=1', '/dev/sda wbps=1'] }, '--io'],
  ] as [LimitOptions, string][])('%j is refused in the name of %s', (options, flag) => {
    expect(refusal(options)).toMatchObject({ code: 'INVALID_OPTION', subject: flag });
  });
});

describe('CPU lists', () => {
  it('formatting and parsing are each other reversed', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(300), { minLength: 1 }), (cpus) => {
        const sorted = [...cpus].sort((a, b) => a - b);
        expect(parseCpuList(formatCpuList(sorted))).toEqual(sorted);
      }),
    );
  });
  it('overlaps and order do not matter', () => {
    expect(parseLimits({ cpuset: '8, 0-2,1-3' }).cpuset).toBe('0-3,8');
  });
});

describe('what is written', () => {
  const all: LimitOptions = {
    cpu: '200%',
    memory: '1G',
    memoryHigh: '900M',
    swap: '0',
    io: ['/dev/sda rbps=100M wiops=max', '259:0 riops=1000'],
    pids: 100,
    cpuset: '0-1',
    oomGroup: true,
  };

  it('files of the cgroup', () => {
    expect(writes(all)).toEqual([
      'cpuset.cpus=0-1',
      'cpu.max=200000 100000',
      'memory.swap.max=0',
      'memory.high=943718400',
      'memory.max=1073741824',
      'memory.oom.group=1',
      'io.max=8:0 rbps=104857600 wiops=max',
      'io.max=259:0 riops=1000',
      'pids.max=100',
    ]);
  });

  it('properties of the unit', () => {
    expect(properties(all)).toEqual([
      'AllowedCPUs=0-1',
      'CPUQuota=200%',
      'CPUQuotaPeriodSec=100000us',
      'MemorySwapMax=0',
      'MemoryHigh=943718400',
      'MemoryMax=1073741824',
      'OOMPolicy=kill',
      'IOReadBandwidthMax=/dev/sda 104857600',
      'IOWriteIOPSMax=/dev/sda infinity',
      'IOReadIOPSMax=/dev/block/259:0 1000',
      'TasksMax=100',
    ]);
  });

  it('nothing where nothing is asked', () => {
    expect(writes({})).toEqual([]);
    // systemd would stop the whole worker where one of its processes runs out of memory.
    expect(properties({})).toEqual(['OOMPolicy=continue']);
    expect(limitNames({ oomGroup: false, io: [] })).toEqual([]);
    expect(limitNames(all)).toHaveLength(8);
  });

  it('IO limits are read in any order and parted by commas as well', () => {
    expect(parseIo('/dev/nvme0n1 wiops=5,rbps=1M')).toEqual({
      device: '/dev/nvme0n1',
      values: { wiops: 5, rbps: 2 ** 20 },
    });
  });
});

describe('whether a limit holds', () => {
  const write = (file: string, value: string) => ({ name: 'cpu', controller: 'cpu', file, value }) as const;
  it.each([
    ['memory.max', '1000000', '999424\n', true],
    ['memory.max', '1000000', 'max\n', false],
    ['memory.max', '1000000', '2000000\n', false],
    ['memory.max', 'max', 'max\n', true],
    ['cpu.max', '50000 100000', '50000 100000\n', true],
    ['cpu.max', '33333 100000', '33330 100000\n', true],
    ['cpu.max', '50000 100000', 'max 100000\n', false],
    ['cpuset.cpus', '0-3', '0-1\n', false],
    ['cpuset.cpus', '0-1', '0,1\n', true],
    ['io.max', '8:0 rbps=100 wiops=max', '8:0 rbps=100 wbps=max riops=max wiops=max\n', true],
    ['io.max', '8:0 rbps=100', '', false],
    ['io.max', '8:0 wiops=max', '', true],
  ])('%s asked %j, held %j: %s', (file, value, held, expected) => {
    expect(limitHolds(write(file, value), held)).toBe(expected);
  });
});
