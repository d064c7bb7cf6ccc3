import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContainerNames } from '../../lib/workers/container-names.js';
import { Discovery } from '../../lib/workers/discovery.js';
import { ProcessTable } from '../../lib/workers/process-table.js';
import type { RecordsRead, WorkerRecord } from '../../lib/workers/records.js';
import { portion } from '../harness/draws.js';
import { ManualClock } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const root = '/cg';

/** A host in memory: cgroups and processes that come and go. */
class Host {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly records: WorkerRecord[] = [];
  readonly #pids = new Map<string, number>();
  #lastPid = 100;
  readonly discovery: Discovery;

  constructor(watch: readonly string[] = []) {
    const openFiles = () => this.tree.reader(this.clock);
    this.tree.directories.add(root);
    this.tree.directories.add('/proc');
    this.discovery = new Discovery({
      root,
      watch,
      auto: true,
      openFiles,
      processes: new ProcessTable({ procRoot: '/proc', openFiles, clock: this.clock }),
      names: new ContainerNames({ hostRoot: '/host', openFiles, clock: this.clock }),
      records: async (): Promise<RecordsRead> => ({
        running: [...this.records],
        ended: [],
        launching: [],
        problems: [],
      }),
      clock: this.clock,
    });
  }

  cgroup(path: string, type = 'domain'): void {
    this.tree.write(`${root}${path}/cgroup.type`, `${type}\n`);
  }

  /** A cgroup with an engine in it. */
  engine(path: string): void {
    this.cgroup(path);
    this.process(path);
  }

  process(path: string): void {
    const pid = ++this.#lastPid;
    this.#pids.set(path, pid);
    const tail = Array.from({ length: 30 }, () => '0');
    tail[17] = '5';
    this.tree.write(`/proc/${pid}/stat`, `${pid} (x) S 1 ${tail.join(' ')}\n`);
    this.tree.write(`/proc/${pid}/cgroup`, `0::${path}\n`);
    this.tree.write(`/proc/${pid}/cmdline`, 'vllm\0serve\0m\0');
    this.tree.write('/proc/loadavg', `0 0 0 1/1 ${this.#lastPid}`);
  }

  remove(path: string): void {
    const gone = (at: string) => at === `${root}${path}` || at.startsWith(`${root}${path}/`);
    for (const file of [...this.tree.files.keys()]) if (gone(file)) this.tree.files.delete(file);
    for (const directory of [...this.tree.directories]) if (gone(directory)) this.tree.directories.delete(directory);
    for (const [at, pid] of [...this.#pids]) {
      if (at !== path && !at.startsWith(`${path}/`)) continue;
      for (const name of ['stat', 'cgroup', 'cmdline']) this.tree.files.delete(`/proc/${pid}/${name}`);
      this.tree.directories.delete(`/proc/${pid}`);
      this.#pids.delete(at);
    }
    this.tree.write('/proc/loadavg', `0 0 0 1/1 ${++this.#lastPid}`);
  }

  /** Scans, and gives the id of each watched path. */
  async ids(): Promise<ReadonlyMap<string, string>> {
    await this.discovery.scan(true);
    return new Map(this.discovery.current().watched.map(({ path, id }) => [path, id]));
  }
}

const hex = (digits: string): string => digits.padEnd(64, '0');

const isIn = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`);

/** Adds a cgroup with an engine, or removes it with all that is inside. */
function toggle(host: Host, present: Set<string>, path: string): void {
  if (!present.has(path)) {
    host.engine(path);
    present.add(path);
    return;
  }
  host.remove(path);
  for (const each of [...present]) if (isIn(each, path)) present.delete(each);
}

function expectSameIds(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
  present: ReadonlySet<string>,
): void {
  expect(new Set(now.values()).size).toBe(now.size);
  for (const [path, id] of now) expect(before.get(path) ?? id, path).toBe(id);
  // A worker whose cgroup is there is still a worker, or part of one around it that is recognized by its path.
  for (const path of before.keys()) {
    if (present.has(path))
      expect(
        [...now.keys()].some((at) => isIn(path, at)),
        path,
      ).toBe(true);
  }
}

describe('ids of workers', () => {
  it('a neighbour with the same name that comes and goes changes no id', async () => {
    const paths = [
      '/system.slice/vllm.service',
      '/machine.slice/box.service/system.slice/vllm.service',
      '/lxc.payload.b/system.slice/vllm.service',
      `/system.slice/docker-${hex('abcdef0123456')}.scope`,
      `/system.slice/docker-${hex('abcdef0123457')}.scope`,
    ];
    const host = new Host();
    for (const path of paths) host.engine(path);
    const before = await host.ids();
    expect(new Set(before.values()).size).toBe(paths.length);
    expect(before.get('/system.slice/vllm.service')).toBe('system/vllm.service');
    for (const path of paths) {
      host.remove(path);
      const without = await host.ids();
      expect([...without]).toEqual([...before].filter(([each]) => each !== path));
      host.engine(path);
      expect(await host.ids()).toEqual(before);
    }
  });

  it('whatever cgroups come and go, the id of every other worker stays, and no two have the same', async () => {
    const unit = fc.constantFrom(
      'vllm.service',
      'a.scope',
      'vllm@1.service',
      'session-1.scope',
      'x-y.service',
      'x\\x2dy.service',
    );
    const place = fc.array(
      fc.constantFrom(
        'system.slice',
        'user.slice',
        'user-7.slice',
        'user@7.service',
        'app.slice',
        'b.service',
        'lxc',
        'a:b',
      ),
      { maxLength: 4 },
    );
    const container = fc
      .tuple(fc.constantFrom('docker-', 'libpod-', 'crio-'), fc.constantFrom('abcdefabcdef', 'abcdefabcdef1', 'ffff'))
      .map(([prefix, digits]) => `${prefix}${hex(digits)}.scope`);
    const own = fc.constantFrom('hivepulse.slice/llm/1', 'hivepulse.slice/hivepulse-llm.slice/hivepulse-llm-1.scope');
    const path = fc
      .tuple(place, fc.oneof(unit, container, own, fc.constantFrom('job', 'a:b', 'jobs:a')))
      .map(([above, last]) => `/${[...above, last].join('/')}`);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(path, { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        async (paths, toggles) => {
          const host = new Host();
          const present = new Set<string>();
          let before: ReadonlyMap<string, string> = new Map();
          for (const at of [...paths.keys(), ...toggles]) {
            toggle(host, present, paths[at % paths.length] as string);
            const now = await host.ids();
            expectSameIds(before, now, present);
            before = now;
          }
        },
      ),
      { numRuns: portion(150) },
    );
  });

  it('an id by a path alone is the same whichever other cgroups there are', async () => {
    const places = [
      '/system.slice',
      '/lxc/a/system.slice',
      '/b.slice',
      '/user.slice/user-7.slice/user@7.service/app.slice',
      '/x/y',
    ];
    const path = fc
      .tuple(fc.constantFrom(...places), fc.constantFrom('vllm.service', 'a.scope', 'b.service'))
      .map((parts) => parts.join('/'));
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(path, { minLength: 2, maxLength: 8 }), fc.nat(), async (paths, pick) => {
        const all = new Host();
        for (const each of paths) all.engine(each);
        const alone = new Host();
        const picked = paths[pick % paths.length] as string;
        alone.engine(picked);
        expect((await alone.ids()).get(picked)).toBe((await all.ids()).get(picked));
      }),
      { numRuns: 60 },
    );
  });

  it('of two launched workers with one name, under two managers, the recorded one has the plain id', async () => {
    const host = new Host();
    const [system, user] = ['', '/user.slice/user-7.slice/user@7.service'].map(
      (above) => `${above}/hivepulse.slice/hivepulse-llm.slice/hivepulse-llm-8080.scope`,
    ) as [string, string];
    host.cgroup(user);
    host.records.push({ group: 'llm', instance: '8080', cgroup: `${root}${user}` } as WorkerRecord);
    const alone = await host.ids();
    expect([...alone]).toEqual([[user, 'llm/8080']]);
    host.cgroup(system);
    const both = await host.ids();
    expect(both.get(user)).toBe('llm/8080');
    expect(both.get(system)).toMatch(/^llm\/8080-[0-9a-f]{8}$/);
    expect(host.discovery.current().watched.map(({ record }) => record !== null)).toEqual([false, true]);
  });

  it('a worker stays one while an engine runs in a cgroup around it, which is said', async () => {
    const host = new Host();
    host.engine('/job/inner');
    await host.ids();
    host.engine('/job');
    expect([...(await host.ids()).keys()]).toEqual(['/job/inner']);
    expect(host.discovery.current().faults).toMatchObject([{ code: 'ENGINE_AROUND_WORKER' }]);
  });

  it('what runs in a threaded cgroup belongs to its domain', async () => {
    const host = new Host(['**/threads']);
    host.cgroup('/system.slice/vllm.service', 'domain threaded');
    host.cgroup('/system.slice/vllm.service/threads', 'threaded');
    host.cgroup('/system.slice/vllm.service/threads/deep', 'threaded');
    host.process('/system.slice/vllm.service/threads/deep');
    expect([...(await host.ids())]).toEqual([['/system.slice/vllm.service', 'system/vllm.service']]);
    host.cgroup('/job', 'domain threaded');
    host.cgroup('/job/threads', 'threaded');
    host.discovery.holdsGpu('/job/threads', 1);
    expect([...(await host.ids()).keys()]).toEqual(['/job', '/system.slice/vllm.service']);
  });
});
