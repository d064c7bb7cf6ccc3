import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { locateCgroups } from '../../lib/cgroup/locate.js';
import { systemValues } from '../../lib/cgroup/system-values.js';
import { type MachineOptions, openMachine } from '../../lib/sampling/open-machine.js';
import { temporaryDirectory } from '../harness/leftovers.js';

/** A /proc that shows these mounts, and directories that stand for trees of cgroups. */
class Machine {
  readonly #temporary = temporaryDirectory('mounts');
  readonly dir = this.#temporary.path;
  readonly procRoot = join(this.dir, 'proc');
  readonly mounted = join(this.dir, 'cg');

  constructor() {
    onTestFinished(() => this.#temporary.remove());
  }

  write(path: string, content: string): void {
    const at = join(this.dir, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, content);
  }

  mounts(...lines: readonly string[]): void {
    this.write('proc/self/mountinfo', lines.map((line) => `${line}\n`).join(''));
  }

  /** The v2 file system, of which `root` is shown. */
  v2(root = '/', at = this.mounted): string {
    return `30 23 0:26 ${root} ${at} rw,nosuid - cgroup2 cgroup2 rw`;
  }

  /** A directory of cgroups with these controllers; null: it says nothing of them. */
  cgroups(path: string, controllers: string | null = 'cpuset cpu io memory pids'): string {
    this.write(`${path}/cgroup.procs`, '');
    if (controllers !== null) this.write(`${path}/cgroup.controllers`, `${controllers}\n`);
    return join(this.dir, path);
  }

  open(options: MachineOptions = {}) {
    return openMachine({ procRoot: this.procRoot, ...options });
  }

  async place(options: MachineOptions = {}) {
    return (await this.open(options)).place;
  }
}

const allThere = { memory: false, io: false };

describe('the cgroups that are watched', () => {
  it('are those of the v2 mount', async () => {
    const machine = new Machine();
    machine.mounts('22 1 0:21 / /proc rw - proc proc rw', machine.v2());
    const root = machine.cgroups('cg');
    expect(await machine.place()).toEqual({ root, prefix: '', missing: allThere });
  });

  it.each([
    ['cpu io pids', { memory: true, io: false }],
    ['memory\tcpu', { memory: false, io: true }],
    ['memory2 io.x', { memory: true, io: true }],
    ['', { memory: true, io: true }],
    [null, { memory: true, io: true }],
  ])('with controllers %j: figures of those that are not there are summed over processes', async (names, missing) => {
    const machine = new Machine();
    machine.mounts(machine.v2());
    machine.cgroups('cg', names);
    expect(await machine.place()).toMatchObject({ missing });
  });

  it.each([
    // What is shown of the hierarchy, what is watched, and what /proc says in front of a path below it.
    ['/', 'cg', ''],
    ['/', 'cg/a.slice/b', '/a.slice/b'],
    ['/', 'cgroups', ''],
    ['/', 'elsewhere', ''],
    ['/docker/7', 'cg', '/docker/7'],
    ['/docker/7', 'cg/a', '/docker/7/a'],
    ['/docker/7', 'elsewhere', '/docker/7'],
    ['/..', 'cg/a', '/a'],
    ['/../x', 'cg', ''],
  ])('of a mount of %s, of which %s is watched, begin with %j in /proc', async (of, watched, prefix) => {
    const machine = new Machine();
    machine.mounts(machine.v2(of));
    const root = machine.cgroups(watched);
    expect(await machine.place({ root })).toEqual({ root, prefix, missing: allThere });
  });

  it('are those of a directory that lists controllers, whatever else is there', async () => {
    const machine = new Machine();
    machine.write('tree/cgroup.controllers', 'cpu memory io\n');
    const root = join(machine.dir, 'tree');
    expect(await machine.place({ root })).toEqual({ root, prefix: '', missing: allThere });
  });

  it('are those that were asked for, also where no v2 is mounted', async () => {
    const machine = new Machine();
    const root = machine.cgroups('tree', null);
    expect(await machine.place({ root })).toEqual({ root, prefix: '', missing: { memory: true, io: true } });
  });

  it('are none where a directory is no cgroup, or none is mounted, with the reason', async () => {
    const machine = new Machine();
    machine.mounts(machine.v2());
    const root = join(machine.dir, 'empty');
    mkdirSync(root);
    for (const options of [{ root }, {}])
      expect(await machine.place(options)).toEqual({
        root: null,
        reason: expect.stringMatching(
          /is no cgroup v2 directory: it has no cgroup\.procs; give another with --root\.$/,
        ),
      });
    machine.mounts('30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory');
    expect(await machine.place()).toEqual({ root: null, reason: expect.stringContaining('Only cgroup v1') });
    const bare = new Machine();
    expect(await bare.place()).toEqual({ root: null, reason: expect.stringContaining('No cgroup v2') });
  });
});

describe('readers of a machine', () => {
  it.each([
    ['rw,hidepid=invisible', true],
    ['rw,hidepid=2', true],
    ['rw,hidepid=0', false],
    ['rw', false],
  ])('where /proc is mounted with %s users are kept from seeing those of others: %s', async (options, hides) => {
    const machine = new Machine();
    machine.mounts(machine.v2(), `22 1 0:21 / ${machine.procRoot} rw,nosuid - proc proc ${options}`);
    expect((await machine.open()).hidesProcesses).toBe(hides);
    // Another /proc than the one that is read says nothing of it.
    machine.mounts(`22 1 0:21 / /proc rw,nosuid - proc proc ${options}`);
    expect((await machine.open()).hidesProcesses).toBe(false);
  });

  it('read cgroups as they were asked to', async () => {
    const machine = new Machine();
    machine.mounts(machine.v2());
    const { openReader, clockTicks, container } = await machine.open({ reader: 'files' });
    const { reader, reason } = openReader(allThere);
    onTestFinished(() => reader.close());
    expect([reader.kind, reason, clockTicks]).toEqual([
      'files',
      expect.any(String),
      systemValues().clockTicksPerSecond,
    ]);
    expect(container).toBeNull();
    // A /proc of a pid namespace of its own is that of a container.
    mkdirSync(join(machine.procRoot, 'self/ns'), { recursive: true });
    symlinkSync('pid:[4026532999]', join(machine.procRoot, 'self/ns/pid'));
    expect((await machine.open()).container).toMatchObject({ paths: expect.any(Array) });
    const usual = (await machine.open()).openReader(allThere);
    onTestFinished(() => usual.reader.close());
    expect(['native', 'files']).toContain(usual.reader.kind);
  });

  it.each(['auto', 'files'] as const)('read memory and I/O of processes where they are to: %s', async (choice) => {
    const machine = new Machine();
    machine.write('proc/7/stat', `7 (x) S 1 ${Array.from({ length: 30 }, (_unused, i) => i).join(' ')}\n`);
    machine.write('proc/7/statm', '100 5 1 1 0 1 0\n');
    machine.write('proc/7/io', 'read_bytes: 11\nwrite_bytes: 12\n');
    const { openReader } = await machine.open({ reader: choice });
    machine.cgroups('cg/a');
    machine.write('cg/a/cgroup.procs', '7\n');
    for (const [memory, io] of [
      [true, false],
      [false, true],
    ] as const) {
      const { reader } = openReader({ memory, io });
      onTestFinished(() => reader.close());
      reader.add(join(machine.mounted, 'a'));
      const [pid, , resident, read] = reader.passSync().processes;
      expect([pid, resident! > 0, read === 11]).toEqual([7, memory, io]);
    }
  });

  it('are those of this machine where nothing else is said', async () => {
    const { place } = await openMachine();
    expect(place.root).toBe(locateCgroups().root);
  });
});
