import { join } from 'node:path';
import type { GuardedReader } from '../io/guarded.js';
import { type CgroupTree, parentOf } from './tree-walk.js';

/**
 * Threaded cgroups hold threads of processes that belong to the domain above them: it alone lists the processes and has
 * their memory. What runs in a threaded cgroup is therefore counted to its domain.
 */
export class ThreadedCgroups {
  readonly #files: Pick<GuardedReader, 'read'>;
  /** Whether a cgroup is threaded, as far as it was asked since the tree was last walked. */
  #known = new Map<string, boolean>();
  #tree: CgroupTree | null = null;

  constructor(files: Pick<GuardedReader, 'read'>) {
    this.#files = files;
  }

  /** Reads the types of these cgroups, and of those above a threaded one. */
  async read(root: string, tree: CgroupTree, paths: Iterable<string>): Promise<void> {
    // A cgroup may become threaded, so all are asked again after each walk.
    if (tree !== this.#tree) this.#known = new Map();
    this.#tree = tree;
    let asked = [...new Set(paths)].filter((path) => path !== '/' && path !== '' && !this.#known.has(path));
    while (asked.length > 0) {
      const types = await this.#files.read(
        asked.map((path) => join(root, path, 'cgroup.type')),
        64,
      );
      const above = new Set<string>();
      for (const [i, path] of asked.entries()) {
        const type = types[i];
        const threaded = type instanceof Buffer && type.toString('latin1').trim() === 'threaded';
        this.#known.set(path, threaded);
        const parent = parentOf(path);
        if (threaded && parent !== '') above.add(parent);
      }
      asked = [...above].filter((path) => !this.#known.has(path));
    }
  }

  /** The cgroup itself, or the domain of a threaded one. */
  domainOf(path: string): string {
    let at = path;
    while (this.#known.get(at) === true) at = parentOf(at) || '/';
    return at;
  }
}
