import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseCmdline,
  parseEnvironmentVariable,
  parseHostCpu,
  parseLoadavg,
  parseMappedPaths,
  parseMeminfo,
  parsePressure,
  parseProcessCgroup,
  parseProcessStat,
  parseUptime,
} from '../../lib/procfs/parse.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const tail = ' R 1 1489839 1489839 0 -1 4194304 90 0 0 0 3 1 0 0 20 0 1 0 987654 2482176 219 18446744073709551615';

describe('process stat', () => {
  it.each([
    ['2021132 (myexec (tb) xyz)', 'myexec (tb) xyz'],
    ['7014 (:-) 1 2 3 4 5 6)', ':-) 1 2 3 4 5 6'],
    ['15022 (a) R (b \xe8\xa1)', 'a) R (b \xe8\xa1'],
    ['9 ()', ''],
    ['9 (line\nbreak)', 'line\nbreak'],
  ])('is cut at the LAST bracket: %s', (head, comm) => {
    const stat = parseProcessStat(bytes(`${head}${tail}\n`));
    expect(stat).toMatchObject({ comm, state: 'R', parentPid: 1, startTicks: 987_654 });
  });

  it('CPU of its own and of children that it waited for are two figures, beside session and parent', () => {
    const line =
      '7 (a b) S 3 5 4 0 -1 4194304 90 0 0 0 30 12 500 61 20 0 1 0 987654 2482176 219 18446744073709551615\n';
    expect(parseProcessStat(bytes(line))).toEqual({
      pid: 7,
      comm: 'a b',
      state: 'S',
      parentPid: 3,
      session: 4,
      cpuTicks: 42,
      waitedCpuTicks: 561,
      startTicks: 987_654,
    });
  });

  it('no name that a process gives itself changes what is read behind it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 15 }), (name) => {
        const line = Buffer.concat([bytes('42 ('), Buffer.from(name), bytes(`)${tail}\n`)]);
        expect(parseProcessStat(line)).toMatchObject({ pid: 42, state: 'R', startTicks: 987_654 });
      }),
    );
  });

  it('torn or foreign content is null, and never throws', () => {
    expect(parseProcessStat(bytes('42 (node) R 1 2'))).toBeNull();
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (any) => void parseProcessStat(Buffer.from(any))));
  });
});

describe('a variable of the environment', () => {
  it.each([
    ['MARK=a\0', 'a'],
    ['PATH=/bin\0MARK=a=b\0HOME=/\0', 'a=b'],
    ['MARK=\0', ''],
    ['MARK=first\0MARK=second\0', 'first'],
    ['MY_MARK=a\0OTHER=MARK=b\0', null],
    ['OTHER=MARK=b\0MARK=c\0', 'c'],
    ['MARK=cut', null],
    ['MARK', null],
    ['', null],
  ])('is read by its whole name: %j', (content, value) => {
    expect(parseEnvironmentVariable(bytes(content), 'MARK')).toBe(value);
  });

  it('is what getenv(3) would give, whatever else there is', () => {
    const name = fc.constantFrom('MARK', 'MARK2', 'XMARK', 'M');
    const value = fc.string({ unit: fc.constantFrom('M', 'A', 'R', 'K', '=', 'x'), maxLength: 12 });
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (variables) => {
        const content = variables.map(([each, text]) => `${each}=${text}\0`).join('');
        const expected = variables.find(([each]) => each === 'MARK')?.[1] ?? null;
        expect(parseEnvironmentVariable(bytes(content), 'MARK')).toBe(expected);
      }),
    );
  });
});

describe('command line', () => {
  it('splits at NUL, keeps empty arguments inside, drops the padding of a title', () => {
    expect(parseCmdline(bytes('vllm\0serve\0\0--port\x008000\0'))).toEqual(['vllm', 'serve', '', '--port', '8000']);
    expect(parseCmdline(bytes('VLLM::EngineCore\0\0\0\0'))).toEqual(['VLLM::EngineCore']);
    expect(parseCmdline(bytes(''))).toEqual([]);
  });

  it('gives back the arguments it was made of', () => {
    const argument = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.array(argument, { maxLength: 8 }), (argv) => {
        const trimmed = [...argv];
        while (trimmed.length > 0 && trimmed[trimmed.length - 1] === '') trimmed.pop();
        expect(parseCmdline(Buffer.from(argv.map((each) => `${each}\0`).join('')))).toEqual(trimmed);
      }),
    );
  });
});

describe('cgroup of a process', () => {
  it.each([
    ['0::/system.slice/docker-ab.scope\n', '/system.slice/docker-ab.scope'],
    ['12:memory:/a\n1:name=systemd:/b\n0::/c d\n', '/c d'],
    ['0::/\n', '/'],
    ['0::/bench0 (deleted)\n', null],
    ['11:memory:/memory.slice/x.scope\n', null],
    ['', null],
  ])('%j is %j', (content, path) => expect(parseProcessCgroup(Buffer.from(content))).toBe(path));
});

describe('host files', () => {
  const stat = [
    'cpu  1000 20 300 8000 500 10 40 77 60 5',
    'cpu0 500 10 150 4000 250 5 20 30 30 2',
    'cpu1 500 10 150 4000 250 5 20 47 30 3',
    'intr 123 0 0',
    'btime 1700000000',
  ].join('\n');

  it('busy leaves out idle, iowait and steal, and counts guest once', () => {
    expect(parseHostCpu(bytes(stat))).toEqual({ busyTicks: 1370, totalTicks: 1370 + 8000 + 500 + 77, cpuCount: 2 });
    expect(parseHostCpu(bytes('cpu  1 2\n'))).toBeNull();
    expect(parseHostCpu(bytes(''))).toBeNull();
  });

  it('meminfo is in KiB', () => {
    const text = 'MemTotal:       24683656 kB\nMemFree:        1 kB\nMemAvailable:   22000000 kB\n';
    expect(parseMeminfo(bytes(text))).toEqual({ totalBytes: 24_683_656 * 1024, availableBytes: 22_000_000 * 1024 });
    expect(parseMeminfo(bytes('MemTotal: 5 kB\n'))).toEqual({ totalBytes: 5120, availableBytes: null });
  });

  it('loadavg, uptime and pressure', () => {
    expect(parseLoadavg(bytes('0.42 0.30 0.20 2/345 31934\n'))).toEqual({ load1: 0.42, lastPid: 31_934 });
    expect(parseLoadavg(bytes('nonsense'))).toEqual({ load1: null, lastPid: null });
    expect(parseUptime(bytes('2352.60 4000.10\n'))).toBe(2352.6);
    expect(parseUptime(bytes(''))).toBeNull();
    expect(
      parsePressure(
        bytes('some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n'),
      ),
    ).toBe(12.5);
    expect(parsePressure(bytes('some avg10=12.'))).toBeNull();
    expect(parsePressure(bytes('full avg10=3.00 avg60=0 avg300=0 total=1\n'))).toBeNull();
  });

  it('any bytes give values or null, never an exception', () => {
    const parsers = [parseHostCpu, parseMeminfo, parseLoadavg, parseUptime, parsePressure, parseProcessCgroup];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: stat.length }), (any, cut) => {
        for (const parse of parsers) {
          parse(Buffer.from(any));
          parse(bytes(stat.slice(0, cut)));
        }
      }),
    );
  });
});

describe('mappings of a process', () => {
  const head = '7f6dd0a00000-7f6dd0a10000 rw-s 00000000 00:06 512                        ';
  const maps = [
    '200000000-200200000 ---p 00000000 00:00 0 ',
    '200200000-200400000 rw-s 00000000 00:06 510                              /dev/nvidiactl',
    '55d0c8e00000-55d0c8e21000 rw-p 00000000 00:00 0                          [heap]',
    '7f6dd0a00000-7f6dd0a10000 rw-s f0000000 00:06 512                        /dev/nvidia0',
    '7f6dd0a10000-7f6dd0a20000 rw-s f0010000 00:06 512                        /dev/nvidia0',
    '7f6dd0b00000-7f6dd0b10000 r--p 00000000 08:01 77                         /tmp/a /dev/nvidia1',
    '7f6dd0c00000-7f6dd0c10000 rw-s 00000000 00:06 513                        /dev/nvidia10',
  ];

  it('only what follows the inode is a path, and a path may hold blanks', () => {
    const found = parseMappedPaths(bytes(`${maps.join('\n')}\n`), '/dev/');
    expect([...found]).toEqual(['/dev/nvidiactl', '/dev/nvidia0', '/dev/nvidia10']);
  });

  it('cut anywhere, a path is whole or not there', () => {
    const whole = `${maps.join('\n')}\n`;
    for (let length = 0; length <= whole.length; length++)
      for (const path of parseMappedPaths(bytes(whole.slice(0, length)), '/dev/'))
        expect(['/dev/nvidiactl', '/dev/nvidia0', '/dev/nvidia10']).toContain(path);
  });

  it('finds exactly the paths below the directory, among any others', () => {
    const path = fc.oneof(
      fc.constantFrom('', '[stack]', '/dev/zero (deleted)', '/usr/lib/x /dev/y', '/device'),
      fc.integer({ min: 0, max: 20 }).map((card) => `/dev/card${card}`),
    );
    fc.assert(
      fc.property(fc.array(path), (paths) => {
        const found = parseMappedPaths(bytes(paths.map((each) => `${head}${each}\n`).join('')), '/dev/');
        expect([...found].sort()).toEqual([...new Set(paths.filter((each) => each.startsWith('/dev/')))].sort());
      }),
    );
  });

  it('bytes of any kind are no error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (drawn) => {
        expect(parseMappedPaths(Buffer.concat([Buffer.from(drawn), bytes(' /dev/')]), '/dev/').size).toBe(0);
      }),
    );
  });
});
