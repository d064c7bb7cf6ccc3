import { boundTo, type WorkerName } from './classify.js';

/** A cgroup that is to have an id. */
export interface Unnamed extends WorkerName {
  readonly path: string;
  /** The name may belong to another cgroup as well: the id carries a hash of the path. */
  readonly shared: boolean;
}

interface Assigned {
  /** What it was assigned for. */
  readonly wanted: string;
  readonly instance: string;
}

const key = ({ group, instance }: WorkerName): string => `${group}/${instance}`;

/**
 * Ids of the watched cgroups. A cgroup keeps its id as long as it is watched, whatever comes or goes beside it. Two that
 * have the same name all the same (containers whose ids begin with the same twelve digits) get different ids by their paths.
 */
export class WorkerIds {
  #assigned: ReadonlyMap<string, Assigned> = new Map();

  /** The instance of each path. */
  assign(cgroups: readonly Unnamed[]): ReadonlyMap<string, string> {
    const wishes = new Map<string, number>();
    for (const cgroup of cgroups) if (!cgroup.shared) wishes.set(key(cgroup), (wishes.get(key(cgroup)) ?? 0) + 1);
    const next = new Map<string, Assigned>();
    for (const { path, shared, ...name } of cgroups) {
      const wanted = key(name);
      const before = this.#assigned.get(path);
      const plain = !shared && wishes.get(wanted) === 1;
      const instance = plain ? name.instance : boundTo(path, name.instance);
      next.set(path, before?.wanted === wanted ? before : { wanted, instance });
    }
    this.#assigned = next;
    return new Map([...next].map(([path, { instance }]) => [path, instance]));
  }
}
