import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContainerNames } from '../../lib/workers/container-names.js';
import { Discovery } from '../../lib/workers/discovery.js';
import { ProcessTable } from '../../lib/workers/process-table.js';
import type { RecordsRead, WorkerRecord } from '../../lib/workers/records.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const root = '/cg';
const noRecords: RecordsRead = { running: [], ended: [], launching: [], problems: [] };

/** A discovery over a tree in memory, with its own /proc. */
function prepared(options: { auto?: boolean; records?: () => Promise<RecordsRead> } = {}) {
  const clock = new ManualClock();
  const tree = new MemoryTree();
  const openFiles = () => tree.reader(clock);
  tree.directories.add(root);
  tree.directories.add('/proc');
  tree.write('/proc/loadavg', '0 0 0 1/1 9');
  const processes = new ProcessTable({ procRoot: '/proc', openFiles, clock });
  const discovery = new Discovery({
    root,
    watch: [],
    auto: options.auto ?? false,
    openFiles,
    processes,
    names: new ContainerNames({ hostRoot: '/host', openFiles, clock }),
    records: options.records ?? (async () => noRecords),
    clock,
  });
  /** Adds a cgroup and counts it where its ancestors have a cgroup.stat. */
  const add = (path: string): void => {
    tree.write(`${root}${path}/cgroup.procs`, '');
    tree.write(`${root}${path}/memory.max`, '4096');
    tree.write(`${root}${path}/cpu.max`, 'max 100000');
    count();
  };
  const count = (): void => {
    const below = (path: string) => [...tree.directories].filter((each) => each.startsWith(`${path}/`)).length;
    for (const path of tree.directories)
      if (path === root || path.startsWith(`${root}/`))
        tree.write(`${path}/cgroup.stat`, `nr_descendants ${below(path)}\n`);
  };
  /** Scans as the hive does, each half second, while time passes. */
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 500) {
      void discovery.scan();
      await clock.advance(500);
    }
  };
  const ids = () => discovery.current().watched.map(({ id }) => id);
  const codes = () => [...new Set(discovery.current().faults.map(({ code }) => code))];
  return { clock, tree, discovery, processes, add, pass, ids, codes };
}

const ours = '/hivepulse.slice';

describe('discovery when a read does not return', () => {
  it.each([
    ['the root’s cgroup.stat', `${root}/cgroup.stat`],
    ['a branch’s cgroup.stat', `${root}${ours}/a/cgroup.stat`],
    ['the listing of a branch', `${root}${ours}/a`],
    ['an ancestor’s memory.max', `${root}${ours}/a/memory.max`],
  ])(
    '%s: named within two seconds, incomplete, new workers of other branches seen, whole again when it returns',
    async (_what, path) => {
      const { tree, add, pass, ids, codes, discovery } = prepared();
      for (const worker of ['a/one', 'b/one']) add(`${ours}/${worker}`);
      tree.write(`${root}${ours}/memory.max`, '4096');
      await discovery.scan(true);
      expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
      expect(ids()).toEqual(['a/one', 'b/one']);

      tree.hangs.add(path);
      discovery.changed();
      await pass(1500);
      expect(codes()).toEqual(['CGROUP_TREE_STALLED']);
      expect(discovery.current().complete).toBe(false);
      add(`${ours}/b/two`);
      await pass(4000);
      expect(ids()).toEqual(['a/one', 'b/one', 'b/two']);
      expect(discovery.current().faults).toEqual([
        expect.objectContaining({ code: 'CGROUP_TREE_STALLED', message: expect.stringContaining(`${path} does not`) }),
      ]);
      const { length } = tree.readers;
      await pass(30_000);
      expect(tree.readers).toHaveLength(length);
      expect(discovery.current().complete).toBe(false);

      add(`${ours}/a/two`);
      tree.hangs.clear();
      await pass(1000);
      expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
      expect(ids()).toEqual(['a/one', 'a/two', 'b/one', 'b/two']);
      expect(discovery.current().watched.every(({ ancestorMemoryBytes }) => ancestorMemoryBytes === 4096)).toBe(true);
    },
  );

  it('where too many reads hang it keeps what it knows, says so, and every scan returns', async () => {
    const { tree, add, pass, ids, discovery } = prepared();
    for (let i = 0; i < 12; i += 1) add(`${ours}/g${i}/w`);
    await discovery.scan(true);
    for (let i = 0; i < 12; i += 1) tree.hangs.add(`${root}${ours}/g${i}`);
    discovery.changed();
    await pass(40_000);
    expect(ids()).toHaveLength(12);
    expect(discovery.current().complete).toBe(false);
    expect(discovery.current().faults).toContainEqual(
      expect.objectContaining({ code: 'CGROUP_TREE_STALLED', message: expect.stringMatching(/^9 readers hang/) }),
    );
    await discovery.scan(true);
    tree.hangs.clear();
    await pass(1000);
    expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
    expect(ids()).toHaveLength(12);
  });

  it('records that do not return cost what they say, and nothing else', async () => {
    const record = { group: 'a', instance: 'one', model: 'm' } as WorkerRecord;
    const whole: RecordsRead = { ...noRecords, running: [record] };
    let hang = true;
    let give = (_read: RecordsRead): void => undefined;
    const { add, pass, ids, codes, discovery } = prepared({
      records: () =>
        hang
          ? new Promise((resolve) => {
              give = resolve;
            })
          : Promise.resolve(whole),
    });
    add(`${ours}/a/one`);
    await pass(110_000);
    // Without its record it would be shown without model, labels and reservation.
    expect(ids()).toEqual([]);
    expect(codes()).toEqual(['RECORDS_STALLED']);
    expect(discovery.current()).toMatchObject({ complete: false, recordsReadAtMs: Number.NEGATIVE_INFINITY });
    await pass(15_000);
    expect(discovery.current().watched).toMatchObject([{ id: 'a/one', record: null }]);
    hang = false;
    give(whole);
    await settle();
    await pass(2500);
    expect(discovery.current()).toMatchObject({ complete: true, faults: [], watched: [{ id: 'a/one', record }] });
    expect(discovery.current().recordsReadAtMs).toBeGreaterThan(0);
  });

  it('a name that does not return costs the name', async () => {
    const { tree, add, pass, codes, discovery } = prepared({ auto: true });
    const id = 'ab'.repeat(32);
    add(`/system.slice/docker-${id}.scope`);
    const config = `/host/var/lib/docker/containers/${id}/config.v2.json`;
    tree.write(config, '{"Name":"/llm"}');
    tree.hangs.add(config);
    await pass(4000);
    expect(discovery.current()).toMatchObject({ complete: true, watched: [{ id: 'docker/abababababab', name: null }] });
    expect(codes()).toEqual(['CONTAINER_NAMES_STALLED']);
    tree.hangs.clear();
    await pass(12_000);
    expect(discovery.current()).toMatchObject({ faults: [], watched: [{ name: 'llm' }] });
  });

  it('whichever path of a tree hangs, workers of other branches are found, it says so, and is whole again when it returns', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(name, name), { minLength: 2, maxLength: 12, selector: ([a, b]) => `${a}/${b}` }),
        fc.nat(),
        async (workers, pick) => {
          const { tree, add, pass, ids, codes, discovery } = prepared();
          for (const [group, instance] of workers) add(`${ours}/${group}/${instance}`);
          const all = workers.map(([group, instance]) => `${group}/${instance}`).sort();
          await discovery.scan(true);
          // Any path that a whole scan asks for, before it is known.
          const asked = [...new Set(tree.asked())].filter((path) => path.startsWith(root));
          const path = asked[pick % asked.length] as string;
          const fresh = prepared();
          for (const [group, instance] of workers) fresh.add(`${ours}/${group}/${instance}`);
          fresh.tree.hangs.add(path);
          const branch = path.startsWith(`${root}${ours}/`) ? path.split('/')[3] : null;
          await fresh.pass(6000);
          const found = fresh.ids();
          // A listing of the root, or of our slice, is above every branch.
          if (path !== root && path !== `${root}${ours}`)
            for (const id of all) if (!id.startsWith(`${branch}/`)) expect(found, path).toContain(id);
          expect(fresh.discovery.current().complete, path).toBe(false);
          expect(fresh.codes(), path).toEqual(['CGROUP_TREE_STALLED']);
          fresh.tree.hangs.clear();
          await fresh.pass(1500);
          expect(fresh.ids(), path).toEqual(all);
          expect(fresh.discovery.current(), path).toMatchObject({ complete: true, faults: [] });

          // The same path hangs under a discovery that knows the tree: nothing it knew is lost.
          tree.hangs.add(path);
          discovery.changed();
          await pass(6000);
          expect(ids(), path).toEqual(all);
          expect([discovery.current().complete, codes()], path).toEqual([false, ['CGROUP_TREE_STALLED']]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
