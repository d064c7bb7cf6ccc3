import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openReader, type ReaderChoice } from '../../lib/cgroup/reader.js';
import type { HiveOptions } from '../../lib/config/options.js';
import { type HiveDeps, type RunningHive, startHive } from '../../lib/daemon/hive.js';
import type { GpuReading, GpuSource } from '../../lib/gpu/reading.js';
import { noGpuSource } from '../../lib/gpu/reading.js';
import type { DirectoryEntry, FileResult } from '../../lib/io/file-reader.js';
import { assembleSampler, type RunningSampler, type SamplerOptions } from '../../lib/sampling/create.js';
import { type Clock, systemClock } from '../../lib/util/clock.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { FakeReader, Hangs } from '../io/fake-files.js';

const errnoOf = (error: unknown): number => -((error as { errno?: number }).errno ?? -5);

/** Reads the disk on the caller's thread. */
export class PlainFiles extends FakeReader {
  static readonly hangs = new Hangs();

  constructor(clock: Pick<Clock, 'now'> = systemClock) {
    super(PlainFiles.hangs, clock);
  }

  protected readOne(path: string, maxBytes: number): FileResult {
    try {
      return readFileSync(path).subarray(0, maxBytes);
    } catch (error) {
      return errnoOf(error);
    }
  }

  protected linksOne(path: string): readonly string[] | number {
    try {
      return readdirSync(path).map((name) => readlinkSync(join(path, name)));
    } catch (error) {
      return errnoOf(error);
    }
  }

  protected listOne(path: string): readonly DirectoryEntry[] | number {
    try {
      return readdirSync(path, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        isDirectory: entry.isDirectory(),
      }));
    } catch (error) {
      return errnoOf(error);
    }
  }
}

export interface FakeProcess {
  readonly pid: number;
  readonly argv: readonly string[];
  /** cgroup path. */
  readonly cgroup: string;
  readonly startTicks?: number;
  readonly comm?: string;
  readonly residentBytes?: number;
  readonly state?: string;
  readonly parentPid?: number;
  readonly listens?: readonly FakeSocket[];
  /** Inode of its network namespace; that of the host where it is left out. */
  readonly namespace?: number;
}

/** A TCP socket that listens. */
export interface FakeSocket {
  readonly address: string;
  readonly port: number;
  /** Processes that have the same one share the socket. */
  readonly inode?: number;
}

export const hostNamespace = 4_026_531_840;

/** As /proc/net/tcp writes it. */
function socketLine({ address, port }: FakeSocket, inode: number): readonly ['tcp' | 'tcp6', string] {
  const word = (bytes: readonly number[]) =>
    Buffer.from([...bytes].reverse())
      .toString('hex')
      .toUpperCase();
  const [file, host] = address.includes(':')
    ? (['tcp6', [0, 4, 8, 12].map((at) => word(bytesOfIpv6(address).slice(at, at + 4))).join('')] as const)
    : (['tcp', word(address.split('.').map(Number))] as const);
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const zeros = '0'.repeat(host.length);
  return [
    file,
    `   0: ${host}:${hexPort} ${zeros}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0\n`,
  ];
}

function bytesOfIpv6(address: string): readonly number[] {
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const [before, after] = [groups(head), groups(tail)];
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after].flatMap(
    (group) => [group >> 8, group & 255],
  );
}

export const bootSeconds = 10_000;

/** A directory that stands for a machine: a cgroup tree, /proc, and the host's files. It is removed after the test. */
export class FakeHost {
  readonly #temporary = temporaryDirectory('machine');
  readonly dir = this.#temporary.path;
  readonly cgroupRoot = join(this.dir, 'cgroup');
  readonly procRoot = join(this.dir, 'proc');
  readonly hostRoot = join(this.dir, 'host');
  readonly runtimeDir = join(this.dir, 'run');
  #lastPid = 1;
  #lastInode = 1000;
  readonly #sockets = new Map<
    number,
    { readonly pids: Set<string>; readonly lines: Map<number, readonly ['tcp' | 'tcp6', string]> }
  >();

  constructor() {
    onTestFinished(() => {
      PlainFiles.hangs.clear();
      this.#temporary.remove();
    });
    for (const dir of [this.cgroupRoot, this.procRoot, this.hostRoot, this.runtimeDir])
      mkdirSync(dir, { recursive: true });
    writeFileSync(join(this.cgroupRoot, 'cgroup.procs'), '');
    writeFileSync(join(this.cgroupRoot, 'cgroup.controllers'), 'cpu memory io pids\n');
    this.write(
      'proc/stat',
      'cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 50 0 50 500 0 0 0 0 0 0\ncpu1 50 0 50 500 0 0 0 0 0 0\n',
    );
    this.write('proc/meminfo', 'MemTotal: 1000 kB\nMemAvailable: 600 kB\n');
    this.write('proc/uptime', `${bootSeconds}.00 1.00\n`);
    for (const name of ['cpu', 'memory', 'io']) this.write(`proc/pressure/${name}`, pressure(1));
    this.#loadavg();
    this.#namespaceOf('self', hostNamespace);
  }

  write(path: string, content: string): void {
    const full = join(this.dir, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
  }

  /** A cgroup with every file of a worker; `files` replaces some, null leaves one out. */
  cgroup(path: string, files: Readonly<Record<string, string | null>> = {}): string {
    const all: Record<string, string | null> = {
      'cpu.stat':
        'usage_usec 1000000\nuser_usec 600000\nsystem_usec 400000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n',
      'memory.current': '1048576\n',
      'memory.stat': 'anon 500000\ninactive_file 48576\n',
      'memory.peak': '2097152\n',
      'memory.events': 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n',
      'io.stat': '8:0 rbytes=1000 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n',
      'pids.current': '1\n',
      'cgroup.procs': '',
      'cpu.max': 'max 100000\n',
      'memory.max': 'max\n',
      'cpu.pressure': pressure(3),
      'memory.pressure': pressure(2),
      'io.pressure': pressure(1),
      'cgroup.events': 'populated 1\nfrozen 0\n',
      ...files,
    };
    const dir = join(this.cgroupRoot, path);
    mkdirSync(dir, { recursive: true });
    for (const [name, content] of Object.entries(all)) if (content !== null) writeFileSync(join(dir, name), content);
    return dir;
  }

  /** A cgroup and the process in it. */
  worker(path: string, process: Omit<FakeProcess, 'cgroup'>, files?: Parameters<FakeHost['cgroup']>[1]): void {
    this.cgroup(path, files);
    this.process({ ...process, cgroup: path });
  }

  set(path: string, file: string, content: string): void {
    writeFileSync(join(this.cgroupRoot, path, file), content);
  }

  remove(path: string): void {
    rmSync(join(this.cgroupRoot, path), { recursive: true, force: true });
  }

  /** Puts a process into /proc and into its cgroup. */
  process({
    pid,
    argv,
    cgroup,
    startTicks = 900_000,
    comm = 'x',
    residentBytes = 4096,
    state = 'S',
    parentPid = 1,
    listens = [],
    namespace = hostNamespace,
  }: FakeProcess): void {
    this.#lastPid = Math.max(this.#lastPid, pid);
    const tail = Array.from({ length: 30 }, () => '0');
    tail[17] = String(startTicks); // field 22: the 18th behind ppid's three
    this.write(`proc/${pid}/stat`, `${pid} (${comm}) ${state} ${parentPid} ${tail.slice(0).join(' ')}\n`);
    this.write(`proc/${pid}/cgroup`, `0::${cgroup}\n`);
    this.write(`proc/${pid}/cmdline`, argv.map((each) => `${each}\0`).join(''));
    this.write(`proc/${pid}/statm`, `100 ${residentBytes / 4096} 1 1 0 1 0\n`);
    this.write(`proc/${pid}/io`, 'read_bytes: 0\nwrite_bytes: 0\n');
    this.#listen(pid, listens, namespace);
    this.#loadavg();
    const procs = join(this.cgroupRoot, cgroup, 'cgroup.procs');
    try {
      statSync(procs);
      if (cgroup !== '/') writeFileSync(procs, `${readFileSync(procs, 'utf8')}${pid}\n`);
    } catch {
      // a cgroup that has no directory here
    }
  }

  #listen(pid: number, sockets: readonly FakeSocket[], namespace: number): void {
    const { lines } = this.#namespaceOf(String(pid), namespace);
    const fds = join(this.procRoot, String(pid), 'fd');
    rmSync(fds, { recursive: true, force: true });
    mkdirSync(fds, { recursive: true });
    symlinkSync('/dev/null', join(fds, '0'));
    for (const [i, socket] of sockets.entries()) {
      const inode = socket.inode ?? ++this.#lastInode;
      lines.set(inode, socketLine(socket, inode));
      symlinkSync(`socket:[${inode}]`, join(fds, String(i + 3)));
    }
    this.#writeSockets(namespace);
  }

  #namespaceOf(name: string, namespace: number) {
    const known = this.#sockets.get(namespace) ?? { pids: new Set<string>(), lines: new Map() };
    this.#sockets.set(namespace, known);
    known.pids.add(name);
    const dir = join(this.procRoot, name, 'ns');
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    symlinkSync(`net:[${namespace}]`, join(dir, 'net'));
    this.#writeSockets(namespace);
    return known;
  }

  /** Each process sees all sockets of its namespace. */
  #writeSockets(namespace: number): void {
    const { pids, lines } = this.#sockets.get(namespace)!;
    for (const name of pids)
      for (const file of ['tcp', 'tcp6'] as const) {
        const own = [...lines.values()].filter(([of]) => of === file).map(([, line]) => line);
        this.write(`proc/${name}/net/${file}`, `  sl  local_address rem_address   st\n${own.join('')}`);
      }
  }

  #loadavg(): void {
    this.write('proc/loadavg', `0.50 0.40 0.30 1/100 ${this.#lastPid}\n`);
  }

  /** Device files that the hive sees itself. */
  devices(...names: readonly string[]): void {
    for (const name of names) this.write(`dev/${name}`, '');
  }

  /** Has the process hold device files; `maps` of it is as the kernel writes it. */
  holds(pid: number, open: readonly string[], mapped: readonly string[]): void {
    const fds = join(this.procRoot, String(pid), 'fd');
    for (const [i, path] of open.entries()) symlinkSync(path, join(fds, String(i + 20)));
    const lines = mapped.map(
      (path) => `7f6dd0a00000-7f6dd0a10000 rw-s 00000000 00:06 512                        ${path}\n`,
    );
    this.write(
      `proc/${pid}/maps`,
      `55d0c8e00000-55d0c8e21000 rw-p 00000000 00:00 0                          [heap]\n${lines.join('')}`,
    );
  }

  /** Closed after the test. */
  sampler(
    options: SamplerOptions & {
      readonly fromProc?: { memory: boolean; io: boolean };
      readonly reader?: ReaderChoice;
      readonly hidesProcesses?: boolean;
    } = {},
  ): RunningSampler {
    const { fromProc = { memory: false, io: false }, reader = 'auto', hidesProcesses = false, ...rest } = options;
    const sampler = assembleSampler(
      {
        place: { root: this.cgroupRoot, prefix: '', missing: fromProc },
        openReader: ({ memory, io }) =>
          openReader(reader, { procRoot: this.procRoot, processMemory: memory, processIo: io, memoryStatEvery: 1 }),
        openFiles: () => new PlainFiles(),
        devRoot: join(this.dir, 'dev'),
        clockTicks: 100,
        hidesProcesses,
      },
      { procRoot: this.procRoot, hostRoot: this.hostRoot, runtimeDir: this.runtimeDir, readiness: false, ...rest },
    );
    onTestFinished(() => sampler.close());
    return sampler;
  }

  /** What a hive reads this host through. */
  readers(openFiles = () => new PlainFiles()): NonNullable<HiveDeps['machine']> {
    return {
      place: { root: this.cgroupRoot, prefix: '', missing: { memory: false, io: false } },
      openReader: () => openReader('auto', { procRoot: this.procRoot }),
      openFiles,
      clockTicks: 100,
    };
  }

  /** A hive of this host without GPUs, ten heartbeats a second. Closed after the test. */
  async startHive(options: HiveOptions = {}, deps: HiveDeps = {}): Promise<RunningHive> {
    const hive = await startHive(
      { id: 'h1', port: 0, intervalMs: 100, procRoot: this.procRoot, runtimeDir: this.runtimeDir, ...options },
      {
        machine: this.readers(),
        gpu: fakeGpu({ status: 'absent', reader: 'none', reason: 'none here' }),
        hostRoot: this.hostRoot,
        ...deps,
      },
    );
    onTestFinished(() => hive.close());
    return hive;
  }
}

export const pressure = (avg10: number): string =>
  `some avg10=${avg10}.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`;

/** A GPU reader that says what it is told to. */
export function fakeGpu(reading: Partial<GpuReading>): GpuSource & { reading: GpuReading } {
  const source = {
    ...noGpuSource('fake'),
    reading: {
      ...noGpuSource('fake').latest(),
      reader: 'nvml' as const,
      reason: null,
      ageMs: 1,
      status: 'working' as const,
      ...reading,
    },
    latest: () => source.reading,
  };
  return source;
}
