import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type BoundName, effortsFor, holding, type ProcessBounds } from '../../lib/launch/best-effort.js';
import { findLauncher, start } from '../../lib/launch/launcher.js';
import { parseCpuList, parseLimits } from '../../lib/launch/limits.js';
import { waitFor } from '../harness/wait.js';

const all = new Set<BoundName>(['cpus', 'nice', 'ioPriority', 'dataBytes']);
const eight = [0, 1, 2, 3, 4, 5, 6, 7];
const efforts = (
  options: Parameters<typeof parseLimits>[0],
  allowed = eight,
  taken: readonly (readonly number[])[] = [],
) => effortsFor(parseLimits(options), allowed, taken);
const messages = (options: Parameters<typeof parseLimits>[0], held: ReadonlySet<BoundName> = all, allowed = eight) =>
  efforts(options, allowed)
    .notes(held)
    .map(({ code, message }) => `${code} ${message}`);

describe('limits where no cgroup holds them', () => {
  it('whole CPUs are held by affinity, on those that fewest others were given', () => {
    expect(efforts({ cpu: '200%' }).bounds).toEqual({ cpus: '0-1', nice: null, ioPriority: null, dataBytes: null });
    expect(efforts({ cpu: 2 }, eight, [[0, 1, 2], [3]]).bounds.cpus).toBe('4-5');
    expect(efforts({ cpu: 3 }, [4, 6, 9]).names).toEqual([]);
    expect(efforts({ cpu: 1, cpuset: '2-3,8' }, eight).bounds.cpus).toBe('2');
  });

  it('a part of a CPU is a share beside others, by nice; there is none of nearly a whole one', () => {
    expect(efforts({ cpu: '25%' }).bounds).toMatchObject({ cpus: '0', nice: 5 });
    expect(efforts({ cpu: '10%' }).bounds.nice).toBe(10);
    expect(efforts({ cpu: '50%' }).bounds.nice).toBeNull();
    expect(messages({ cpu: '1.9' }, all, [0, 1])).toEqual([
      'LIMIT_NOT_APPLIED --cpu requested, not applied: no cgroup can be made here, and affinity holds whole CPUs alone',
    ]);
  });

  it('each is said by what it does, and what nothing can be done for as not applied', () => {
    const io = ['/dev/sda rbps=1M'];
    expect(
      messages({ cpu: '25%', memory: '2G', memoryHigh: '1G', swap: 0, io, pids: 9, cpuset: '7-9', oomGroup: true }),
    ).toMatchInlineSnapshot(`
        [
          "LIMIT_IN_PART --cpu holds in part: its processes run on CPU 7 (affinity), which they may change; they give way to others (nice 5)",
          "LIMIT_IN_PART --cpuset holds in part: its processes run on CPU 7 (affinity), which they may change; others of 7-9 are not allowed here",
          "LIMIT_IN_PART --memory holds in part: each of its processes by itself gets at most 2.0 GiB of private memory (RLIMIT_DATA); more is refused to it, and nothing is killed",
          "LIMIT_NOT_APPLIED --memory-high requested, not applied: no cgroup can be made here",
          "LIMIT_NOT_APPLIED --swap requested, not applied: no cgroup can be made here",
          "LIMIT_IN_PART --io holds in part: its requests come after those of others (I/O priority 7) where the disk's scheduler heeds it (BFQ)",
          "LIMIT_NOT_APPLIED --pids requested, not applied: without a cgroup only all processes of a user can be counted together",
          "LIMIT_NOT_APPLIED --oom-group requested, not applied: no cgroup can be made here",
        ]
      `);
    expect(messages({ cpu: 'max', memory: 'max', pids: 'max', io: ['/dev/sda rbps=max'] })).toEqual([]);
    expect(messages({ cpuset: '64' })).toEqual([
      'LIMIT_NOT_APPLIED --cpuset requested, not applied: none of these CPUs is allowed here',
    ]);
  });

  it('what the kernel did not take is not said to hold', () => {
    expect(messages({ memory: '2G' }, new Set(['cpus']))).toEqual([
      'LIMIT_NOT_APPLIED --memory requested, not applied: no cgroup can be made here',
    ]);
    const { bounds } = efforts({ cpu: '25%', memory: '2G' });
    expect(holding(bounds, new Set<BoundName>(['nice']))).toEqual({
      cpus: null,
      nice: 5,
      ioPriority: null,
      dataBytes: null,
    });
  });

  it('of any CPUs allowed and taken, as many are given as cover the limit, of those allowed', () => {
    const cpus = fc.uniqueArray(fc.nat(63), { minLength: 1 });
    fc.assert(
      fc.property(cpus, fc.array(cpus), fc.integer({ min: 1, max: 640 }), (allowed, taken, tenths) => {
        const { bounds, names } = efforts({ cpu: tenths / 10 }, allowed, taken);
        const enough = tenths / 10 >= allowed.length;
        expect(names).toEqual(enough ? [] : ['cpu']);
        const given = bounds.cpus === null ? allowed : (parseCpuList(bounds.cpus) ?? []);
        expect(given.every((cpu) => allowed.includes(cpu))).toBe(true);
        expect(given).toHaveLength(enough ? allowed.length : Math.ceil(tenths / 10));
      }),
    );
  });
});

const launchers = [
  { name: 'the launcher', launcher: findLauncher() },
  { name: 'sh', launcher: null },
];

describe.each(launchers)('a command started by $name', ({ name, launcher }) => {
  const bounds: ProcessBounds = { cpus: '0', nice: 15, ioPriority: 7, dataBytes: 2 ** 31 };

  const skip = name !== 'sh' && launcher === null;

  it.skipIf(skip)(
    `begins under what was asked for in place of limits${skip ? ' (needs the launcher built)' : ''}`,
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'hivepulse-bounds-'));
      onTestFinished(() => rmSync(directory, { recursive: true }));
      const script = 'cat /proc/self/status /proc/self/limits; cut -d" " -f19 /proc/self/stat; ionice; read line';
      const command = ['sh', '-c', script];
      const started = await start(
        { wrapper: [], command, cgroup: null, launcher, nofile: null, bounds },
        { stdio: 'pipe' },
      );
      if ('step' in started) throw new Error(started.reason);
      expect([...started.held].sort()).toEqual([...all].sort());
      let said = '';
      started.stdout?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      await waitFor(() => /best-effort/.test(said), { what: 'its answer' });
      started.stdin?.end('\n');
      expect(said).toMatch(/^Cpus_allowed_list:\s*0$/m);
      expect(said).toMatch(/^Max data size\s+2147483648\s+2147483648\s/m);
      expect(said).toMatch(/^15\nbest-effort: prio 7$/m);
      await once(started.child, 'close');
    },
  );

  it.skipIf(skip)(`says nothing of what the kernel refuses${skip ? ' (needs the launcher built)' : ''}`, async () => {
    const none = { ...bounds, cpus: '8191', nice: null, ioPriority: null, dataBytes: null };
    const started = await start(
      { wrapper: [], command: ['true'], cgroup: null, launcher, nofile: null, bounds: none },
      {},
    );
    if ('step' in started) throw new Error(started.reason);
    expect([...started.held]).toEqual([]);
  });
});
