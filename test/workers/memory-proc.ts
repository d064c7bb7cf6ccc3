import { onTestFinished } from 'vitest';
import { ProcessTable } from '../../lib/workers/process-table.js';
import { ManualClock } from '../harness/manual-clock.js';
import { type FakeReader, MemoryTree } from '../io/fake-files.js';

export interface MemoryProcess {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly cgroup: string;
  readonly startTicks?: number;
  readonly state?: string;
  readonly parentPid?: number;
}

/** A /proc in memory, at `/proc`. */
export class MemoryProc {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly procRoot = '/proc';
  #lastPid = 1;

  constructor() {
    this.#started(1);
  }

  readonly openFiles = () => this.tree.reader(this.clock);

  process({ pid, argv, cgroup, startTicks = 900_000, state = 'S', parentPid = 1 }: MemoryProcess): void {
    const tail = Array.from({ length: 30 }, (_unused, i) => (i === 17 ? String(startTicks) : '0')).join(' ');
    this.write(`${pid}/stat`, `${pid} (x) ${state} ${parentPid} ${tail}\n`);
    this.write(`${pid}/cgroup`, `0::${cgroup}\n`);
    this.write(`${pid}/cmdline`, argv.map((each) => `${each}\0`).join(''));
    this.#started(pid);
  }

  write(path: string, content: string): void {
    this.tree.write(`${this.procRoot}/${path}`, content);
  }

  drop(path: string): void {
    this.tree.files.delete(`${this.procRoot}/${path}`);
  }

  end(pid: number): void {
    const directory = `${this.procRoot}/${pid}`;
    for (const path of [...this.tree.files.keys()]) if (path.startsWith(`${directory}/`)) this.tree.files.delete(path);
    this.tree.directories.delete(directory);
  }

  hang(path: string): void {
    this.tree.hangs.add(`${this.procRoot}${path}`);
  }

  #started(pid: number): void {
    this.#lastPid = Math.max(this.#lastPid, pid);
    this.write('loadavg', `0.00 0.00 0.00 1/1 ${this.#lastPid}\n`);
  }
}

/** A table of its processes. */
export function prepared(
  options: { settleMs?: number; verifyMs?: number; cgroupPrefix?: string; markerVariable?: string } = {},
) {
  const host = new MemoryProc();
  const { clock, procRoot, openFiles } = host;
  const opened: FakeReader[] = host.tree.readers;
  const table = new ProcessTable({ procRoot, openFiles, clock, ...options });
  onTestFinished(() => table.close());
  return { host, clock, opened, table };
}
