import { describe, expect, it } from 'vitest';
import type { ContainerNames } from '../../lib/workers/container-names.js';
import type { Discovery, DiscoveryOptions } from '../../lib/workers/discovery.js';
import type { RecordsRead } from '../../lib/workers/records.js';
import { container, Machine, noRecords, root } from './discovery-machine.js';

/** A discovery of which the test sees what each scan looks at. */
function watched(machine: Machine, options: Partial<DiscoveryOptions> = {}) {
  let [records, names] = [0, 0];
  const discovery = machine.open({
    records: async () => {
      records += 1;
      return noRecords;
    },
    names: {
      find: async () => {
        names += 1;
        return null;
      },
      faults: () => [],
    } as unknown as ContainerNames,
    ...options,
  });
  const beganMs = machine.clock.now();
  /** What a scan at this time looked at. */
  const scan = async (atMs: number, force = false): Promise<string> => {
    await machine.clock.advance(beganMs + atMs - machine.clock.now());
    for (const { asked } of machine.tree.readers) asked.length = 0;
    [records, names] = [0, 0];
    await discovery.scan(force);
    const asked = machine.tree.asked();
    const looks = {
      tree: asked.includes(root),
      processes: asked.includes('/proc/loadavg'),
      records: records > 0,
      names: names > 0,
      limits: asked.includes(`${root}/cgroup.events`),
    };
    return Object.entries(looks)
      .flatMap(([name, is]) => (is ? [name] : []))
      .join(' ');
  };
  return { discovery, scan };
}

const engine = ['llama-server', '-m', 'x.gguf'];

describe('what a scan looks at', () => {
  it('is what is due: records each second, processes each two, the tree where it changed and each ten, names with the processes', async () => {
    const machine = new Machine();
    machine.make(container);
    const { scan, discovery } = watched(machine);
    expect(await scan(0)).toBe('tree processes records names limits');
    expect(await scan(999)).toBe('');
    expect(await scan(1000)).toBe('records');
    expect(await scan(1999)).toBe('');
    expect(await scan(2000)).toBe('processes records names');
    machine.make('/b');
    expect(await scan(2100)).toBe('tree records names limits');
    expect(await scan(3099)).toBe('');
    expect(await scan(3100)).toBe('records');
    expect(await scan(3999)).toBe('');
    // Records are read with the processes, though not a second has gone by.
    expect(await scan(4000)).toBe('processes records names');
    expect(await scan(4999)).toBe('');
    discovery.changed();
    expect(await scan(5000)).toBe('tree records names limits');
    for (let ms = 6000; ms < 15_000; ms += 1000) expect(await scan(ms)).not.toContain('tree');
    expect(await scan(14_999)).toBe('');
    expect(await scan(15_000)).toBe('tree records names limits');
    expect(await scan(15_001, true)).toBe('tree processes records names limits');
    expect(await scan(15_002)).toBe('');
  });

  it('is as often as the options have it', async () => {
    const machine = new Machine();
    machine.make('/b');
    const { scan } = watched(machine, { processesEveryMs: 100, recordsEveryMs: 10, walkEveryMs: 50 });
    await scan(0);
    expect(await scan(9)).toBe('');
    expect(await scan(10)).toBe('records');
    expect(await scan(49)).toBe('records');
    expect(await scan(50)).toContain('tree');
    expect(await scan(100)).toContain('processes');
  });

  it('is the tree where one cgroup came and another went, once it is said to have changed', async () => {
    const machine = new Machine();
    machine.make('/hivepulse.slice/w/one');
    const { scan, discovery } = watched(machine);
    const ids = () => discovery.current().watched.map(({ id }) => id);
    await scan(0);
    expect(ids()).toEqual(['w/one']);
    machine.remove('/hivepulse.slice/w/one');
    machine.make('/hivepulse.slice/w/two');
    await scan(500);
    expect(ids()).toEqual(['w/one']);
    discovery.changed();
    await scan(600);
    expect(ids()).toEqual(['w/two']);
  });

  it('is no limits where the workers are those of before, though the records are others', async () => {
    const machine = new Machine();
    machine.make('/b');
    machine.process(10, engine, '/b');
    machine.process(11, engine, '/own');
    const { scan, discovery } = watched(machine, { records: async () => ({ ...noRecords }) });
    await scan(0);
    expect(discovery.current().watched.map(({ id }) => id)).toEqual(['cgroup/b', 'processes/llama-server-11']);
    for (const ms of [1000, 2000, 3000]) expect(await scan(ms)).not.toContain('limits');
  });
});

describe('the list of workers', () => {
  it.each<[string, (machine: Machine) => void]>([
    ['a tree of processes', () => undefined],
    ['a tree and a launched worker', (machine) => machine.make('/hivepulse.slice/w/one')],
  ])('of %s is the same as long as nothing changes', async (_what, make) => {
    const machine = new Machine();
    make(machine);
    machine.process(11, engine, '/own');
    const { scan, discovery } = watched(machine);
    await scan(0);
    // What starts may belong to a tree, so once there is one all processes are looked at.
    await scan(2000);
    const { watched: before } = discovery.current();
    expect(before.map(({ scope }) => scope)).toContain('processes');
    for (let ms = 2500; ms < 10_000; ms += 500) {
      await scan(ms);
      expect(discovery.current().watched).toBe(before);
    }
    machine.process(12, engine, '/own');
    await scan(10_000);
    expect(discovery.current().watched.map(({ id }) => id)).toContain('processes/llama-server-12');
  });

  it('without a tree is the same though records are read anew', async () => {
    const machine = new Machine();
    machine.make('/hivepulse.slice/w/one');
    const { scan, discovery } = watched(machine, { records: async () => ({ ...noRecords }) });
    await scan(0);
    const { watched: before } = discovery.current();
    await scan(1000);
    expect(discovery.current().watched).toBe(before);
  });
});

describe('scans that overlap', () => {
  it('are one, and those that are forced meanwhile are one more', async () => {
    const machine = new Machine();
    machine.make('/b');
    const { discovery } = watched(machine);
    const scans = async (...calls: readonly boolean[]): Promise<number> => {
      for (const { asked } of machine.tree.readers) asked.length = 0;
      await Promise.all(calls.map((force) => discovery.scan(force)));
      return machine.tree.asked().filter((path) => path === '/proc/loadavg').length;
    };
    expect(await scans(true)).toBe(1);
    expect(await scans(true, false, false)).toBe(1);
    expect(await scans(true, true)).toBe(2);
    expect(await scans(false, true, true, false)).toBe(1);
    expect(await scans(true, false, true, true)).toBe(2);
    expect(await scans(false)).toBe(0);
    expect(discovery.scan()).toBe(discovery.scan());
  });
});

describe('a discovery', () => {
  it('has found nothing before its first scan, and is not complete', () => {
    const discovery = new Machine().open();
    expect(discovery.current()).toEqual({
      ...{ watched: [], complete: false, faults: [], ended: [], recordsReadAtMs: Number.NEGATIVE_INFINITY },
    });
    expect(discovery.trees).toEqual({ trees: [], outer: new Map(), treeOf: new Map() });
  });

  it('knows no records while the first read of them hangs, and says why', async () => {
    const machine = new Machine();
    machine.make('/hivepulse.slice/w/one');
    const discovery: Discovery = machine.open({ records: () => new Promise<RecordsRead>(() => undefined) });
    void discovery.scan();
    await machine.clock.advance(10_000);
    expect(discovery.current()).toEqual({
      ...{ watched: [], complete: false, ended: [], recordsReadAtMs: Number.NEGATIVE_INFINITY },
      faults: [
        {
          source: 'hive',
          code: 'RECORDS_STALLED',
          message:
            'Reading the records of workers does not return: labels, models, ports and exits of launched workers are not known.',
        },
      ],
    });
  });

  it('closes what it reads with', async () => {
    const machine = new Machine();
    const discovery = machine.open();
    await discovery.scan();
    const open = () => machine.tree.readers.filter(({ closed }) => !closed).length;
    const before = open();
    discovery.close();
    expect(open()).toBe(before - 1);
  });
});
