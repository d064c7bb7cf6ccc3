import { join } from 'node:path';
import { adoptedName, type WorkerName } from './classify.js';
import type { ContainerNames } from './container-names.js';
import { type Unnamed, WorkerIds } from './identity.js';
import type { AncestorLimits } from './limits.js';
import type { WorkerRecord } from './records.js';
import { isRecordOf, type Selected } from './selection.js';
import type { Watched } from './watched.js';

interface Named extends Unnamed {
  readonly record: WorkerRecord | null;
}

/** By group and instance. */
function byName(records: readonly WorkerRecord[]): ReadonlyMap<string, readonly WorkerRecord[]> {
  const found = new Map<string, WorkerRecord[]>();
  for (const record of records) {
    const name = `${record.group}/${record.instance}`;
    const same = found.get(name);
    if (same === undefined) found.set(name, [record]);
    else same.push(record);
  }
  return found;
}

function isSame(a: Watched | undefined, b: Watched): a is Watched {
  if (a === undefined) return false;
  for (const key in b) if (a[key as keyof Watched] !== b[key as keyof Watched]) return false;
  return true;
}

/**
 * What is watched at each cgroup that was selected. A worker of which nothing has changed is the same object as before, and
 * where that holds for all the list is the same too: scans come each second or two, and something comes or goes much more seldom.
 */
export class WorkerDescriptions {
  readonly #names: Pick<ContainerNames, 'find'>;
  readonly #limits: Pick<AncestorLimits, 'of'>;
  readonly #ids = new WorkerIds();
  /** Names by paths alone. */
  #adopted: ReadonlyMap<string, WorkerName> = new Map();
  #byPath: ReadonlyMap<string, Watched> = new Map();
  #all: readonly Watched[] = [];

  constructor(names: Pick<ContainerNames, 'find'>, limits: Pick<AncestorLimits, 'of'>) {
    this.#names = names;
    this.#limits = limits;
  }

  /** By path. */
  async describe(
    root: string,
    found: ReadonlyMap<string, Selected>,
    running: readonly WorkerRecord[],
  ): Promise<readonly Watched[]> {
    const cgroups = this.#nameAll(root, found, running);
    const instances = this.#ids.assign(cgroups);
    const names = await this.#containerNames(found);
    const sorted = cgroups.sort((a, b) => (a.path < b.path ? -1 : 1));
    const all = sorted.map(({ path, group, instance: wanted, record }): Watched => {
      const entry = found.get(path) ?? null;
      const isContainer = entry !== null && 'kind' in entry && entry.kind === 'container';
      const instance = instances.get(path) ?? wanted;
      const limits = this.#limits.of(path);
      const before = this.#byPath.get(path);
      const now: Watched = {
        scope: 'cgroup',
        id: `${group}/${instance}`,
        group,
        instance,
        path,
        directory: before?.directory ?? join(root, path),
        origin: entry === null || isContainer ? 'adopted' : 'launched',
        name: names.get(path) ?? null,
        record,
        ancestorMemoryBytes: limits.memoryBytes,
        ancestorCpuPercent: limits.cpuPercent,
      };
      return isSame(before, now) ? before : now;
    });
    if (all.length === this.#all.length && all.every((each, i) => each === this.#all[i])) return this.#all;
    this.#all = all;
    this.#byPath = new Map(all.map((each) => [each.path, each]));
    return all;
  }

  #nameAll(root: string, found: ReadonlyMap<string, Selected>, running: readonly WorkerRecord[]): Named[] {
    const records = byName(running);
    const adopted = new Map<string, WorkerName>();
    const cgroups: Named[] = [];
    for (const [path, entry] of found) {
      const name = entry ?? this.#adopted.get(path) ?? adoptedName(path);
      if (entry === null) adopted.set(path, name);
      const { group, instance } = name;
      const launched = entry !== null && (!('kind' in entry) || entry.kind === 'own');
      const record = launched
        ? (records.get(`${group}/${instance}`)?.find((each) => isRecordOf(each, root, path, { group, instance })) ??
          null)
        : null;
      // Each service manager may have a worker of ours under the same name: the record shows which one is ours.
      const shared = launched && record === null && !path.startsWith('/hivepulse.slice/');
      cgroups.push({ path, group, instance, shared, record });
    }
    this.#adopted = adopted;
    return cgroups;
  }

  async #containerNames(found: ReadonlyMap<string, Selected>): Promise<ReadonlyMap<string, string | null>> {
    const names = new Map<string, string | null>();
    const asked: Promise<unknown>[] = [];
    for (const [path, entry] of found) {
      if (entry === null || !('kind' in entry) || entry.kind !== 'container') continue;
      asked.push(this.#names.find(entry, path).then((name) => names.set(path, name)));
    }
    await Promise.all(asked);
    return names;
  }
}
