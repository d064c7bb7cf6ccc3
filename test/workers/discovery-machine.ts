import { ContainerNames } from '../../lib/workers/container-names.js';
import { Discovery, type DiscoveryOptions } from '../../lib/workers/discovery.js';
import { ProcessTable } from '../../lib/workers/process-table.js';
import type { RecordsRead } from '../../lib/workers/records.js';
import { ManualClock } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

export const root = '/cg';
export const container = `/system.slice/docker-${'0123456789abcdef'.repeat(4)}.scope`;
export const ownPid = 2;
export const noRecords: RecordsRead = { running: [], ended: [], launching: [], problems: [] };

/** A host in memory: cgroups and processes that come and go. The hive's own process is in `/own`. */
export class Machine {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  #lastPid = 100;

  constructor() {
    this.tree.directories.add('/proc');
    this.tree.directories.add(root);
    this.count();
    this.process(ownPid, ['hivepulse', 'hive'], '/own');
  }

  process(pid: number, argv: readonly string[], cgroup: string, parentPid = 1): void {
    const tail = Array.from({ length: 30 }, (_unused, i) => (i === 17 ? '900000' : '0')).join(' ');
    this.tree.write(`/proc/${pid}/stat`, `${pid} (x) S ${parentPid} ${tail}\n`);
    this.tree.write(`/proc/${pid}/cgroup`, `0::${cgroup}\n`);
    this.tree.write(`/proc/${pid}/cmdline`, argv.map((each) => `${each}\0`).join(''));
    this.started();
  }

  end(pid: number): void {
    for (const name of ['stat', 'cgroup', 'cmdline']) this.tree.files.delete(`/proc/${pid}/${name}`);
    this.tree.directories.delete(`/proc/${pid}`);
    this.started();
  }

  /** Something has started, so that /proc is listed. */
  started(): void {
    this.#lastPid += 1;
    this.tree.write('/proc/loadavg', `0 0 0 1/1 ${this.#lastPid}`);
  }

  make(path: string): void {
    this.tree.write(`${root}${path}/cgroup.procs`, '');
    this.count();
  }

  remove(path: string): void {
    const isBelow = (each: string) => each === `${root}${path}` || each.startsWith(`${root}${path}/`);
    for (const file of [...this.tree.files.keys()]) if (isBelow(file)) this.tree.files.delete(file);
    for (const each of [...this.tree.directories]) if (isBelow(each)) this.tree.directories.delete(each);
    this.count();
  }

  count(): void {
    const below = (path: string) => [...this.tree.directories].filter((each) => each.startsWith(`${path}/`)).length;
    for (const path of [...this.tree.directories])
      if (path === root || path.startsWith(`${root}/`))
        this.tree.write(`${path}/cgroup.stat`, `nr_descendants ${below(path)}\n`);
  }

  name(name: string): void {
    const id = /docker-(.*)\.scope/.exec(container)?.[1];
    this.tree.write(`/host/var/lib/docker/containers/${id}/config.v2.json`, JSON.stringify({ Name: `/${name}` }));
  }

  /** Looks at all but the tree on each scan; a walk has everything looked at. */
  discovery(records: () => Promise<RecordsRead>): Discovery {
    return this.open({
      ...{ watch: ['a'], records, processesEveryMs: 500, recordsEveryMs: 500, walkEveryMs: Number.POSITIVE_INFINITY },
    });
  }

  open(options: Partial<DiscoveryOptions> = {}): Discovery {
    const { clock, tree } = this;
    const openFiles = () => tree.reader(clock);
    return new Discovery({
      root,
      watch: [],
      auto: true,
      openFiles,
      processes: new ProcessTable({ procRoot: '/proc', openFiles, clock }),
      ownPid,
      names: new ContainerNames({ hostRoot: '/host', openFiles, clock }),
      records: async () => noRecords,
      clock,
      ...options,
    });
  }
}
