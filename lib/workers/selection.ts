import type { Fault } from '../contract/heartbeat.js';
import { printablePath } from '../util/byte-path.js';
import type { Clock } from '../util/clock.js';
import { type Classified, classifyAbove, compileGlob } from './classify.js';
import type { ProcessTable } from './process-table.js';
import { isRecentLaunch, type RecordsRead, type WorkerRecord } from './records.js';
import type { ThreadedCgroups } from './threaded.js';
import { type CgroupTree, parentOf } from './tree-walk.js';

/** What a worker is: by its path, by its record, or (null) by what runs in it or a `--watch` pattern. */
export type Selected = Classified | WorkerRecord | null;

interface SelectionOptions {
  readonly watch: readonly string[];
  readonly auto: boolean;
  readonly processes: Pick<ProcessTable, 'engines'>;
  readonly threaded: ThreadedCgroups;
  readonly clock: Clock;
  /** How long a cgroup stays watched after its last engine or GPU process was seen, ms. */
  readonly keepMs: number;
}

/** How long workers wait for records that can't be read, ms; a first read is slow on a host without CPU to spare. */
const unreadMs = 120_000;

/** What one selection is made from. */
interface SelectionInput {
  readonly root: string;
  readonly tree: CgroupTree;
  readonly records: RecordsRead;
  /** Paths that are watched as workers now. */
  readonly watched: ReadonlySet<string>;
  /** Whether an engine in the root makes the root a worker. */
  readonly rootAdoptable: boolean;
  /** The cgroup that the hive itself runs in; null where that is not known. */
  readonly ownCgroup: string | null;
  /** Records of workers cannot be read, and it is not long ago that they could. */
  readonly recordsUnread: boolean;
}

/** Which cgroups are workers: by their paths, by the records of `run`, by `--watch`, and by the processes in them. */
export class Selection {
  readonly #options: SelectionOptions;
  readonly #globs: readonly ((path: string) => boolean)[];
  /** Until when a cgroup is watched because of an engine or GPU process that was seen in it. */
  readonly #held = new Map<string, number>();
  /** A cgroup is held that was not at the last selection. */
  #hasNewHeld = false;
  /** Workers that are recognized by their paths alone. */
  #named: ReadonlyMap<string, Classified> = new Map();

  constructor(options: SelectionOptions) {
    this.#options = options;
    this.#globs = options.watch.map(compileGlob);
  }

  /** The tree has other cgroups than before. */
  setTree(tree: CgroupTree): void {
    const named = new Map<string, Classified>();
    for (const path of tree.paths) {
      const above = classifyAbove(path);
      if (above?.path === path) named.set(path, above.found);
    }
    this.#named = named;
  }

  /** A GPU process was seen in this cgroup. */
  hold(path: string): void {
    if (!this.#options.auto) return;
    this.#hasNewHeld ||= !this.#held.has(path);
    this.#held.set(path, this.#options.clock.now() + this.#options.keepMs);
  }

  /** Keeps all holders watched. */
  keepHeld(): void {
    const until = this.#options.clock.now() + this.#options.keepMs;
    for (const path of this.#held.keys()) this.#held.set(path, until);
  }

  /**
   * Whether what is held is what it was at the last selection. Where all else is too (tree, records, engines) another
   * selection would be the same. Engines keep their cgroups held, as in a selection.
   */
  staysAs(input: SharingInput): boolean {
    if (this.#options.auto) this.#holdEngines(input);
    const nowMs = this.#options.clock.now();
    for (const until of this.#held.values()) if (until < nowMs) return false;
    return !this.#hasNewHeld;
  }

  /** Cgroups whose type has to be known for a selection. */
  *candidates(tree: CgroupTree): Iterable<string> {
    yield* this.#held.keys();
    if (this.#options.auto) {
      for (const { cgroup } of this.#options.processes.engines()) if (cgroup !== null) yield cgroup;
    }
    for (const path of tree.paths) if (this.#globs.some((matches) => matches(path))) yield path;
  }

  /** Paths that are workers, and what each is. */
  select(input: SelectionInput, faults: Fault[]): Map<string, Selected> {
    const { root, tree, records } = input;
    const { auto, threaded } = this.#options;
    const exists = new Set(tree.paths);
    const found = new Map<string, Selected>();
    for (const [path, entry] of this.#named) if (entry.kind === 'own' || auto) found.set(path, entry);
    for (const record of records.running) {
      const path = record.cgroup?.startsWith(`${root}/`) ? record.cgroup.slice(root.length) : null;
      if (path !== null && exists.has(path) && !isCovered(path, found)) found.set(path, record);
    }
    for (const matched of tree.paths) {
      if (!this.#globs.some((matches) => matches(matched))) continue;
      const path = threaded.domainOf(matched);
      if (path !== '/' && !isCovered(path, found)) found.set(path, null);
    }
    if (auto) {
      this.#holdEngines(input, faults);
      this.#addHeld(input, exists, found, faults);
    }
    for (const path of this.#unfinished(input)) found.delete(path);
    this.#hasNewHeld = false;
    return found;
  }

  #holdEngines(input: SharingInput, faults: Fault[] = []): void {
    for (const { pid, engine, cgroup } of this.#options.processes.engines()) {
      if (cgroup === null) continue;
      if (!isShared(cgroup, input)) this.hold(cgroup);
      else if (cgroup === '/' && !input.rootAdoptable) {
        faults.push({
          source: 'hive',
          code: 'ENGINE_IN_ROOT_CGROUP',
          message: `${engine} (pid ${pid}) runs in the root cgroup, which belongs to the whole host, so it is watched as a tree of processes; start it with \`hivepulse run\` to see its pressure, peak and limits as well.`,
        });
      }
    }
  }

  /** Holders of engines and GPUs. Shorter paths first, so that none is taken inside another one. */
  #addHeld(input: SelectionInput, exists: ReadonlySet<string>, found: Map<string, Selected>, faults: Fault[]): void {
    const { rootAdoptable, watched } = input;
    const nowMs = this.#options.clock.now();
    for (const [path, until] of this.#held) {
      const there = path === '/' ? rootAdoptable : exists.has(path);
      if (until < nowMs || !there || isShared(path, input)) this.#held.delete(path);
    }
    const domains = new Set([...this.#held.keys()].map((path) => this.#options.threaded.domainOf(path)));
    const ordered = [...domains].sort((a, b) => a.length - b.length);
    for (const path of ordered) {
      if (isCovered(path, found) || isShared(path, input)) continue;
      // A worker that is watched stays one: it has not ended because something runs in a cgroup around it now.
      const inner = ordered.find((other) => watched.has(other) && isBelow(other, path));
      if (inner === undefined || watched.has(path)) found.set(path, null);
      else {
        faults.push({
          source: 'hive',
          code: 'ENGINE_AROUND_WORKER',
          message: `Something that serves a model or holds a GPU runs in ${printablePath(path)}, around the worker in ${printablePath(inner)}; only the latter is watched. Give each a cgroup of its own.`,
        });
      }
    }
  }

  /**
   * Launched workers whose record is not written yet, or not read yet because reading the records hangs: without it they
   * would have no labels, model or reservation. A launch that died half-way holds a worker back for so long at most,
   * records that never come for `unreadMs`.
   */
  #unfinished({ root, records, watched, recordsUnread }: SelectionInput): readonly string[] {
    const launches = new Set<string>();
    for (const { id, sinceMs } of records.launching) if (isRecentLaunch(sinceMs)) launches.add(id);
    if (launches.size === 0 && !recordsUnread) return [];
    const recorded = (path: string, group: string, instance: string): boolean =>
      records.running.some((record) => isRecordOf(record, root, path, { group, instance }));
    return [...this.#named]
      .filter(([path, { kind, group, instance }]) => {
        // A worker that is watched already stays: a launch under its name will be refused.
        if (kind !== 'own' || watched.has(path) || recorded(path, group, instance)) return false;
        return recordsUnread || launches.has(`${group}/${instance}`);
      })
      .map(([path]) => path);
  }
}

/** Whether the records may still come that were not read for `sinceMs`. */
export const mayStillBeRead = (sinceMs: number): boolean => sinceMs < unreadMs;

/**
 * Whether a record is of the worker at `path`: by its cgroup, else by name. A record whose cgroup is not below the root
 * is of another view of the same tree (the hive runs in a container), so only the name can tell.
 */
export function isRecordOf(
  record: WorkerRecord,
  root: string,
  path: string,
  { group, instance }: { readonly group: string; readonly instance: string },
): boolean {
  if (record.group !== group || record.instance !== instance) return false;
  const { cgroup } = record;
  return cgroup == null || !cgroup.startsWith(`${root}/`) || cgroup === `${root}${path}`;
}

export type SharingInput = Pick<SelectionInput, 'rootAdoptable' | 'ownCgroup'>;

/** Whether a cgroup holds more than one worker: that of the whole host, or the one that the hive itself runs in. */
export const isShared = (path: string, { rootAdoptable, ownCgroup }: SharingInput): boolean =>
  path === ownCgroup || (path === '/' && !rootAdoptable);

const isBelow = (path: string, above: string): boolean => path.startsWith(`${above}/`);

function isCovered(path: string, found: ReadonlyMap<string, unknown>): boolean {
  for (let at = path; at !== ''; at = parentOf(at)) if (found.has(at)) return true;
  return false;
}
