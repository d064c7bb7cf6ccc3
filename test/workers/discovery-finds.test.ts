import { constants } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DiscoveryOptions } from '../../lib/workers/discovery.js';
import type { RecordsRead, WorkerRecord } from '../../lib/workers/records.js';
import { container, Machine, noRecords, ownPid, root } from './discovery-machine.js';

const { EACCES } = constants.errno;
const engine = ['llama-server', '-m', 'x.gguf'];
const one = '/hivepulse.slice/w/one';

afterEach(() => {
  vi.restoreAllMocks();
});

/** A discovery and what it has found, once it has looked. */
function prepared(options: Partial<DiscoveryOptions> = {}) {
  const machine = new Machine();
  let records: RecordsRead = noRecords;
  const discovery = machine.open({ records: async () => records, processesEveryMs: 500, ...options });
  /** Scans each half second while time passes. */
  const pass = async (ms = 500): Promise<void> => {
    for (let at = 0; at < ms; at += 500) {
      void discovery.scan();
      await machine.clock.advance(500);
    }
  };
  const found = () => discovery.current().watched.map(({ id }) => id);
  const codes = () => discovery.current().faults.map(({ code }) => code);
  return {
    machine,
    discovery,
    pass,
    found,
    codes,
    record: (now: Partial<RecordsRead>) => (records = { ...noRecords, ...now }),
  };
}

const launchedAs = (pid: number): WorkerRecord =>
  ({ group: 'w', instance: 'two', cgroup: null, pid, startTicks: 900_000, marker: 'x', exit: null }) as WorkerRecord;

describe('a host without cgroups', () => {
  it('has workers that are trees of processes, and says all of them', async () => {
    const { machine, discovery, pass, record } = prepared({ root: null, ownPid: null });
    const ended = [{ group: 'w', instance: 'old' } as WorkerRecord];
    record({ running: [launchedAs(11)], ended });
    machine.process(10, engine, '/a');
    machine.process(11, ['python3'], '/b');
    await pass();
    const common = {
      scope: 'processes',
      directory: null,
      name: null,
      ancestorMemoryBytes: null,
      ancestorCpuPercent: null,
    };
    const current = discovery.current();
    expect([...current.watched].sort((a, b) => a.path.localeCompare(b.path))).toEqual([
      {
        ...common,
        ...{ id: 'processes/llama-server-10', group: 'processes', instance: 'llama-server-10' },
        ...{ path: 'processes:10:900000', origin: 'adopted', record: null },
      },
      {
        ...common,
        ...{ id: 'w/two', group: 'w', instance: 'two', path: 'processes:11:900000', origin: 'launched' },
        record: launchedAs(11),
      },
    ]);
    expect(current).toMatchObject({ complete: true, faults: [], ended });
    expect(discovery.trees.trees.map(({ key }) => key).sort()).toEqual(['processes:10:900000', 'processes:11:900000']);
  });

  it('has only what was launched, where nothing else is watched', async () => {
    const { machine, found, pass, record, discovery } = prepared({ root: null, ownPid: null, auto: false });
    record({ running: [launchedAs(11)] });
    machine.process(10, engine, '/a');
    machine.process(11, ['python3'], '/b');
    machine.process(12, ['python3'], '/b');
    await pass();
    discovery.holdsGpu(null, 12);
    await pass(1000);
    expect(found()).toEqual(['w/two']);
  });

  it.each([
    [true, false],
    [false, true],
  ])(
    'all engines watched %s, while /proc hangs complete is %s, and whole again when it returns',
    async (auto, complete) => {
      const { machine, discovery, pass, codes } = prepared({ root: null, ownPid: null, auto });
      machine.tree.hangs.add('/proc');
      await pass(12_000);
      expect(discovery.current().complete).toBe(complete);
      expect(codes()).toEqual(['PROC_STALLED']);
      machine.tree.hangs.clear();
      await pass(1500);
      expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
    },
  );

  it('has a worker where a process holds a GPU, in whatever cgroup of another kernel', async () => {
    const { machine, discovery, pass, found } = prepared({ root: null, ownPid: null });
    machine.process(10, ['python3', 'train.py'], '/a');
    await pass();
    expect(found()).toEqual([]);
    discovery.holdsGpu(null, 10);
    await pass();
    expect(found()).toEqual(['processes/x-10']);
  });

  it('names records that cannot be read', async () => {
    const { discovery, pass, record } = prepared({ root: null });
    record({ problems: [{ path: '/run/w/x.json', message: 'torn or not JSON' }] });
    await pass();
    expect(discovery.current().faults).toEqual([
      {
        source: 'hive',
        code: 'RECORD_UNREADABLE',
        message: 'The worker record /run/w/x.json: torn or not JSON.',
      },
    ]);
  });
});

describe('who holds a GPU', () => {
  it('makes its cgroup a worker, and stays one while nobody can see that it does not any more', async () => {
    const { machine, discovery, pass, found } = prepared();
    machine.make('/b');
    await pass();
    expect(found()).toEqual([]);
    discovery.holdsGpu('/b', 10);
    await pass();
    expect(found()).toEqual(['cgroup/b']);
    await pass(25_000);
    discovery.keepHeld();
    await pass(25_000);
    expect(found()).toEqual(['cgroup/b']);
    await pass(6000);
    expect(found()).toEqual([]);
  });

  it('is a tree where it shares the cgroup of the hive, and nothing where its cgroup is not known', async () => {
    const { machine, discovery, pass, found } = prepared();
    machine.make('/own');
    machine.process(10, ['python3'], '/own');
    await pass();
    discovery.holdsGpu(null, 10);
    await pass();
    expect(found()).toEqual([]);
    discovery.holdsGpu('/own', 10);
    await pass();
    expect(found()).toEqual(['processes/x-10']);
  });
});

describe('where the hive shares its cgroup', () => {
  const rows: readonly [string, string, Partial<RecordsRead>, readonly string[]][] = [
    ['with nobody’s: an engine beside it is a tree', '/own', {}, ['processes/llama-server-10']],
    ['a launched worker, it is that', one, {}, ['w/one']],
    [
      'a launched worker that its record shows, it is that',
      '/job',
      { running: [{ group: 'w', instance: 'job', cgroup: `${root}/job` } as WorkerRecord] },
      ['w/job'],
    ],
    ['a container, its engines are trees and it is none', container, {}, ['processes/llama-server-10']],
  ];
  it.each(rows)('%s', async (_what, cgroup, records, expected) => {
    const { machine, pass, found, record } = prepared();
    record(records);
    machine.make(cgroup);
    machine.process(ownPid, ['hivepulse', 'hive'], cgroup);
    machine.process(10, engine, cgroup);
    await pass(1000);
    expect(found()).toEqual(expected);
  });

  it('a container without an engine, the container is a worker', async () => {
    const { machine, pass, found } = prepared();
    machine.make(container);
    machine.process(ownPid, ['hivepulse', 'hive'], container);
    await pass(1000);
    expect(found()).toEqual(['docker/0123456789ab']);
  });

  it('an engine there is none of the workers that are watched where only launched ones are', async () => {
    const { machine, pass, found, record } = prepared({ auto: false });
    machine.process(10, engine, '/own');
    machine.process(11, ['python3'], '/own');
    await pass(1000);
    expect(found()).toEqual([]);
    record({ running: [launchedAs(11)] });
    await pass(1000);
    expect(found()).toEqual(['w/two']);
  });

  it.each([
    ['is not known', null],
    ['has no process', 999],
  ])('whose own cgroup %s: an engine of which none is known is no tree', async (_what, pid) => {
    const { machine, discovery, pass, found } = prepared({ ownPid: pid });
    machine.process(10, engine, '/own');
    machine.tree.files.delete('/proc/10/cgroup');
    await pass(1000);
    expect(found()).toEqual([]);
    expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
  });
});

describe('the root', () => {
  it('of a container is a worker where an engine runs in it, that of the host is none', async () => {
    for (const [isInner, expected] of [
      [true, ['/']],
      [false, ['processes:10:900000']],
    ] as const) {
      const { machine, discovery } = prepared();
      if (isInner) machine.tree.write(`${root}/cgroup.events`, 'populated 1\n');
      machine.process(10, engine, '/');
      await discovery.scan();
      expect(discovery.current().watched.map(({ path }) => path)).toEqual(expected);
    }
  });
});

describe('what is read of workers', () => {
  it('are the limits around them, also around one that appears while the tree stays', async () => {
    const { machine, discovery, pass } = prepared({ keepMs: 100, walkEveryMs: 1e9 });
    const limits = () =>
      discovery.current().watched.map(({ path, ancestorMemoryBytes }) => `${path} ${ancestorMemoryBytes}`);
    for (const path of ['/b/c', '/d/e', '/f/g']) machine.make(path);
    for (const [path, bytes] of [
      ['/b', 1],
      ['/d', 2],
      ['/f', 3],
    ] as const)
      machine.tree.write(`${root}${path}/memory.max`, `${bytes * 4096}\n`);
    await pass();
    machine.process(10, engine, '/b/c');
    await pass();
    expect(limits()).toEqual(['/b/c 4096']);
    machine.end(10);
    machine.process(11, engine, '/d/e');
    await pass(1000);
    expect(limits()).toEqual(['/d/e 8192']);
    machine.process(12, engine, '/b/c');
    await pass(1000);
    expect(limits()).toEqual(['/b/c 4096', '/d/e 8192']);
    machine.end(12);
    machine.process(13, engine, '/f/g');
    await pass(1000);
    expect(limits()).toEqual(['/d/e 8192', '/f/g 12288']);
  });

  it('are their records, as soon as they are written', async () => {
    const { machine, discovery, record } = prepared({ processesEveryMs: 1e9, walkEveryMs: 1e9 });
    machine.make(one);
    await discovery.scan();
    const written = { group: 'w', instance: 'one', cgroup: `${root}${one}` } as WorkerRecord;
    record({ running: [written] });
    await machine.clock.advance(1000);
    await discovery.scan();
    expect(discovery.current()).toMatchObject({ watched: [{ id: 'w/one', record: written }] });
    record({ ended: [written], problems: [{ path: '/x', message: 'torn or not JSON' }] });
    await machine.clock.advance(1000);
    await discovery.scan();
    expect(discovery.current()).toMatchObject({
      watched: [{ record: null }],
      ended: [written],
      faults: [{ source: 'hive', code: 'RECORD_UNREADABLE' }],
    });
  });

  it('is waited for while a launch is recent, and no longer', async () => {
    const { machine, pass, found, record } = prepared({ walkEveryMs: 1e9 });
    const now = vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    record({ launching: [{ id: 'w/one', sinceMs: 1_000_000 }] });
    machine.make(one);
    await pass(1000);
    expect(found()).toEqual([]);
    now.mockReturnValue(1_000_000 + 34_999);
    await pass(1000);
    expect(found()).toEqual([]);
    now.mockReturnValue(1_000_000 + 35_000);
    await pass(1000);
    expect(found()).toEqual(['w/one']);
  });

  it('is waited for while the records hang that could be read before', async () => {
    let hang = false;
    const { machine, discovery, found, pass } = prepared({
      records: () => (hang ? new Promise<RecordsRead>(() => undefined) : Promise.resolve(noRecords)),
    });
    machine.make(one);
    await pass(1000);
    expect(found()).toEqual(['w/one']);
    hang = true;
    await pass(10_000);
    machine.make('/hivepulse.slice/w/two');
    await pass(5000);
    expect(found()).toEqual(['w/one']);
    expect(discovery.current().complete).toBe(false);
    await pass(120_000);
    expect(found()).toEqual(['w/one', 'w/two']);
  });
});

it('what hung of the processes makes it incomplete until that has returned, though all else stays', async () => {
  const { machine, discovery, pass } = prepared({ ownPid: null, walkEveryMs: 1e9 });
  machine.make(one);
  machine.tree.hangs.add('/proc');
  await pass(12_000);
  expect(discovery.current()).toMatchObject({ complete: false, watched: [{ id: 'w/one' }] });
  machine.tree.hangs.clear();
  await pass(1500);
  expect(discovery.current()).toMatchObject({ complete: true, faults: [], watched: [{ id: 'w/one' }] });
});

describe('a cgroup that cannot be listed', () => {
  it('is named, and what was found is not all', async () => {
    const { machine, discovery, pass } = prepared();
    for (const path of [one, '/b/c']) machine.make(path);
    machine.tree.listErrors.set(`${root}/b`, EACCES);
    await pass(1000);
    expect(discovery.current()).toMatchObject({
      complete: false,
      watched: [{ id: 'w/one' }],
      faults: [
        {
          source: 'cgroup',
          code: 'CGROUP_UNREADABLE',
          message: '/cg/b cannot be listed (EACCES, permission denied); workers below it are not seen.',
        },
      ],
    });
    machine.tree.listErrors.clear();
    await pass(10_000);
    expect(discovery.current()).toMatchObject({ complete: true, faults: [] });
  });

  it('because the listing hangs is named once, by the tree', async () => {
    const { machine, discovery, pass } = prepared();
    machine.make('/b/c');
    machine.tree.hangs.add(`${root}/b`);
    await pass(6000);
    expect(discovery.current().faults).toEqual([
      {
        source: 'cgroup',
        code: 'CGROUP_TREE_STALLED',
        message: expect.stringMatching(/^.*\/cg\/b does not .*: workers below it may not be seen\.$/),
      },
    ]);
  });
});
