import { join } from 'node:path';
import { ETIMEDOUT, type GuardedReader } from '../io/guarded.js';
import { inodesOf } from '../procfs/sockets.js';
import { parseUnixListening } from '../procfs/unix-sockets.js';

/** Some ten thousand sockets; of a longer table nothing behind is seen. */
const maxTableBytes = 1024 * 1024;

/** Paths of the Unix sockets on which processes take connections. Only processes that are named are looked at. */
export class UnixListening {
  readonly #procRoot: string;
  readonly #files: Pick<GuardedReader, 'read' | 'links'>;
  #paths: ReadonlyMap<number, readonly string[]> = new Map();

  constructor(procRoot: string, files: Pick<GuardedReader, 'read' | 'links'>) {
    this.#procRoot = procRoot;
    this.#files = files;
  }

  /** None where it has none, is not looked at, or may not be seen. */
  pathsOf(pid: number): readonly string[] {
    return this.#paths.get(pid) ?? [];
  }

  /** Looks at these, by pid with their network namespaces. Gives those of which something else was found than before. */
  async look(processes: ReadonlyMap<number, number>): Promise<ReadonlySet<number>> {
    const before = this.#paths;
    const now = processes.size === 0 ? new Map<number, readonly string[]>() : await this.#read(processes);
    this.#paths = now;
    const pids = [...new Set([...before.keys(), ...now.keys()])];
    return new Set(pids.filter((pid) => before.get(pid)?.join('\n') !== now.get(pid)?.join('\n')));
  }

  async #read(processes: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, readonly string[]>> {
    const readers = new Map([...processes].map(([pid, namespace]) => [namespace, String(pid)]));
    const file = (name: string): string => join(this.#procRoot, name, 'net/unix');
    const contents = await this.#files.read([...readers.values()].map(file), maxTableBytes);
    const tables = new Map(
      [...readers.keys()].map((namespace, i) => {
        const content = contents[i];
        return [namespace, content instanceof Buffer ? parseUnixListening(content) : null];
      }),
    );
    const pids = [...processes.keys()];
    const descriptors = pids.map((pid) => join(this.#procRoot, String(pid), 'fd'));
    const links = await this.#files.links(descriptors, 'socket:[');
    const found = new Map<number, readonly string[]>();
    for (const [i, pid] of pids.entries()) {
      const table = tables.get(processes.get(pid) as number) ?? null;
      const held = links[i];
      // While a read hangs, what was known before is kept.
      if (table === null || held === undefined || held === ETIMEDOUT) found.set(pid, this.pathsOf(pid));
      else if (typeof held === 'object')
        found.set(
          pid,
          inodesOf(held).flatMap((inode) => table.get(inode) ?? []),
        );
    }
    return new Map([...found].filter(([, paths]) => paths.length > 0));
  }
}
