import { join } from 'node:path';
import type { FileReader } from '../io/file-reader.js';
import { ETIMEDOUT } from '../io/guarded.js';
import { latin1 } from '../procfs/parse.js';

type Files = Pick<FileReader, 'read' | 'readKept' | 'list'>;

export interface CgroupTree {
  /** Paths of all cgroups below the root, relative to it (`/a/b`), parents first. */
  readonly paths: readonly string[];
  /** Directories that could not be listed, with the errno; one that vanished during the walk is none. */
  readonly unreadable: readonly { readonly path: string; readonly errno: number }[];
  /** `nr_descendants` of the root when the walk began; null where the kernel has none. */
  readonly descendants: number | null;
}

/** The cgroup above `/a/b`; '' for one right below the root. */
export const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

const ENOENT = 2;
const ENODEV = 19;
const maxDepth = 24;
const maxCgroups = 50_000;

/** `nr_descendants` of a cgroup.stat, or null. */
export function parseDescendants(content: Buffer | string | number): number | null {
  if (typeof content === 'number') return null;
  const value = /^nr_descendants ([0-9]+)$/m.exec(latin1(content))?.[1];
  return value === undefined ? null : Number(value);
}

/** What `countDescendants` reads; it stays what it is. */
export const countPath = (root: string): readonly string[] => Object.freeze([join(root, 'cgroup.stat')]);

/** Number of cgroups below the root: one small read, by which a walk is left out while it is the same. */
export async function countDescendants(
  files: Pick<Files, 'readKept'>,
  path: readonly string[],
): Promise<number | null> {
  const [content] = await files.readKept(path, 4096);
  return parseDescendants(content ?? 0);
}

/**
 * Walks the tree level by level. A directory is listed only where cgroup.stat counts cgroups below it, since a listing
 * holds some forty files too. Where listing a directory hangs, what `previous` has below it is kept.
 */
export async function walkTree(files: Files, root: string, previous: CgroupTree | null = null): Promise<CgroupTree> {
  const paths: string[] = [];
  const unreadable: { path: string; errno: number }[] = [];
  const descendants = await countDescendants(files, countPath(root));
  let level = [''];
  for (let depth = 0; depth < maxDepth && level.length > 0; depth += 1) {
    const { children, failed } = await listLevel(files, root, level);
    paths.push(...children);
    for (const { path, errno } of failed) {
      const vanished = (errno === ENOENT || errno === ENODEV) && path !== '';
      if (!vanished) unreadable.push({ path: path || '/', errno });
      if (errno === ETIMEDOUT && previous)
        paths.push(...previous.paths.filter((known) => known.startsWith(`${path}/`)));
    }
    if (paths.length > maxCgroups) {
      unreadable.push({ path: '/', errno: 0 });
      break;
    }
    level = children;
  }
  return { paths, unreadable, descendants };
}

async function listLevel(files: Files, root: string, level: readonly string[]) {
  const stats = await files.read(
    level.map((path) => join(root, path, 'cgroup.stat')),
    4096,
  );
  // Listed as well where cgroup.stat is missing (a kernel below 4.14, a plain directory) or its read hangs.
  const inner = level.filter((_path, i) => parseDescendants(stats[i] ?? 0) !== 0);
  const lists = await files.list(inner.map((path) => join(root, path)));
  const children: string[] = [];
  const failed: { path: string; errno: number }[] = [];
  for (const [i, path] of inner.entries()) {
    const entries = lists[i] ?? ENOENT;
    if (typeof entries === 'number') failed.push({ path, errno: entries });
    else for (const { name, isDirectory } of entries) if (isDirectory) children.push(`${path}/${name}`);
  }
  return { children, failed };
}
