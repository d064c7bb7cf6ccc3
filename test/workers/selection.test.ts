import { describe, expect, it } from 'vitest';
import type { Fault } from '../../lib/contract/heartbeat.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import type { RecordsRead, WorkerRecord } from '../../lib/workers/records.js';
import { isRecordOf, isShared, mayStillBeRead, Selection } from '../../lib/workers/selection.js';
import { ThreadedCgroups } from '../../lib/workers/threaded.js';
import { ManualClock } from '../harness/manual-clock.js';

const own = '/hivepulse.slice/llm/8080';
const record = (over: Partial<WorkerRecord> = {}): WorkerRecord =>
  ({ group: 'llm', instance: '8080', pid: 7, startTicks: 70, cgroup: null, exit: null, ...over }) as WorkerRecord;

/** Selects workers of a tree of cgroups, with engines in some of them. */
class Scene {
  readonly clock = new ManualClock();
  readonly threaded: ThreadedCgroups;
  readonly selection: Selection;
  engines: { readonly pid: number; readonly engine: 'vllm'; readonly cgroup: string | null }[] = [];
  records: RecordsRead = { running: [], ended: [], launching: [], problems: [] };
  watched: ReadonlySet<string> = new Set();
  rootAdoptable = false;
  ownCgroup: string | null = null;
  recordsUnread = false;
  paths: readonly string[];
  readonly types = new Map<string, string>();
  faults: Fault[] = [];

  constructor(paths: readonly string[], { watch = [] as readonly string[], auto = true } = {}) {
    this.paths = paths;
    const read = async (asked: readonly string[]) =>
      asked.map((path) =>
        Buffer.from(this.types.get(path.slice('/cg'.length).replace(/\/cgroup.type$/, '')) ?? 'domain'),
      );
    this.threaded = new ThreadedCgroups({ read });
    const processes = { engines: () => this.engines as unknown as readonly (KnownProcess & { engine: 'vllm' })[] };
    const { clock, threaded } = this;
    this.selection = new Selection({ watch, auto, processes, threaded, clock, keepMs: 10_000 } as never);
  }

  get tree() {
    return { paths: this.paths, unreadable: [], descendants: null };
  }

  get input() {
    const { tree, records, watched, rootAdoptable, ownCgroup, recordsUnread } = this;
    return { root: '/cg', tree, records, watched, rootAdoptable, ownCgroup, recordsUnread };
  }

  async select(): Promise<readonly string[]> {
    this.faults = [];
    this.selection.setTree(this.tree);
    await this.threaded.read('/cg', this.tree, this.selection.candidates(this.tree));
    return [...this.selection.select(this.input, this.faults).keys()].sort();
  }

  engine(cgroup: string | null): this {
    this.engines.push({ pid: 100 + this.engines.length, engine: 'vllm', cgroup });
    return this;
  }
}

describe('a cgroup is a worker', () => {
  it('by an engine in it as long as one was seen lately, and no longer', async () => {
    const scene = new Scene(['/a', '/b']).engine('/a').engine(null).engine('/gone');
    expect(await scene.select()).toEqual(['/a']);
    scene.engines = [];
    await scene.clock.advance(10_000);
    expect(await scene.select()).toEqual(['/a']);
    await scene.clock.advance(1);
    expect(await scene.select()).toEqual([]);
  });

  it('by a process on a GPU, and as long as nothing else can be said', async () => {
    const scene = new Scene(['/a', '/b']);
    scene.selection.hold('/b');
    expect(await scene.select()).toEqual(['/b']);
    await scene.clock.advance(9000);
    scene.selection.keepHeld();
    await scene.clock.advance(10_000);
    expect(await scene.select()).toEqual(['/b']);
  });

  it('by a pattern, at its domain, whether or not others are found by themselves', async () => {
    for (const auto of [true, false]) {
      const scene = new Scene(['/a', '/a/t', '/b', '/b/c'], { watch: ['t', '/b', '/b/c'], auto }).engine('/b/c');
      scene.types.set('/a/t', 'threaded');
      expect(await scene.select()).toEqual(['/a', '/b']);
    }
    // Threads of the root are of no worker.
    const scene = new Scene(['/t'], { watch: ['t'] });
    scene.types.set('/t', 'threaded');
    expect(await scene.select()).toEqual([]);
  });

  it('by its record where it is below the root and there, and none inside of another', async () => {
    const scene = new Scene(['/a', '/b', '/b/c', '/d'], { auto: false });
    const cgroups = ['/xx/d', '/cg/a', '/cg/b', '/cg/b/c', '/cg/gone', '/cgroup/b', null];
    scene.records = { ...scene.records, running: cgroups.map((cgroup) => record({ cgroup })) };
    expect(await scene.select()).toEqual(['/a', '/b']);
  });

  it('by its path: a launched one always, a container where workers are found by themselves', async () => {
    const container = `/system.slice/docker-${'0a'.repeat(32)}.scope`;
    const paths = ['/hivepulse.slice', own, `${own}/inner`, '/system.slice', container];
    const found = async (auto: boolean) => (await new Scene(paths, { auto }).select()).includes(container);
    expect([await found(true), await found(false)]).toEqual([true, false]);
    expect(await new Scene(paths, { auto: false }).select()).toEqual([own]);
    expect(await new Scene(paths).select()).not.toContain(`${own}/inner`);
  });

  it('only where workers are found by themselves, but for what is asked for', async () => {
    const scene = new Scene(['/a'], { auto: false }).engine('/a').engine('/');
    scene.selection.hold('/a');
    expect(await scene.select()).toEqual([]);
    expect(scene.faults).toEqual([]);
    expect([...scene.selection.candidates(scene.tree)]).toEqual([]);
    expect(scene.selection.staysAs(scene.input)).toBe(true);
  });

  it('of threads only by its domain, and one is inside of no other', async () => {
    const scene = new Scene(['/a', '/a/t', '/a/t/u', '/c', '/c/d', '/c2'])
      .engine('/a/t/u')
      .engine('/c/d')
      .engine('/c')
      .engine('/c2');
    for (const path of ['/a/t', '/a/t/u']) scene.types.set(path, 'threaded');
    expect(await scene.select()).toEqual(['/a', '/c', '/c2']);
    expect(scene.faults).toEqual([]);
  });
});

describe('a cgroup of several', () => {
  it('is no worker: that of the hive, and that of the host, which is said of an engine in it', async () => {
    const scene = new Scene(['/hive']).engine('/').engine('/hive');
    scene.ownCgroup = '/hive';
    expect(await scene.select()).toEqual([]);
    expect(scene.faults).toMatchObject([{ source: 'hive', code: 'ENGINE_IN_ROOT_CGROUP' }]);
    expect(scene.faults[0]?.message).toMatch(/^vllm \(pid 100\) runs in the root cgroup/);
    scene.rootAdoptable = true;
    expect(await scene.select()).toEqual(['/']);
    expect(scene.faults).toEqual([]);
    scene.ownCgroup = '/';
    expect(await scene.select()).toEqual(['/hive']);
    expect(scene.faults).toEqual([]);
    expect(isShared('/', { rootAdoptable: true, ownCgroup: null })).toBe(false);
    expect(isShared('/a', { rootAdoptable: false, ownCgroup: null })).toBe(false);
  });

  it('around a worker that is watched is none, which is said; the other way round the worker that is watched stays', async () => {
    const scene = new Scene(['/a', '/a/b', '/ab']).engine('/a/b').engine('/ab');
    expect(await scene.select()).toEqual(['/a/b', '/ab']);
    scene.engine('/a');
    scene.watched = new Set(['/a/b', '/ab']);
    expect(await scene.select()).toEqual(['/a/b', '/ab']);
    const around = 'Something that serves a model or holds a GPU runs in /a, around the worker in /a/b';
    expect(scene.faults).toMatchObject([{ source: 'hive', code: 'ENGINE_AROUND_WORKER' }]);
    expect(scene.faults[0]?.message).toContain(around);
    scene.watched = new Set(['/a', '/a/b']);
    expect(await scene.select()).toEqual(['/a', '/ab']);
    scene.watched = new Set(['/ab']);
    expect(await scene.select()).toEqual(['/a', '/ab']);
    expect(scene.faults).toEqual([]);
  });
});

describe('another selection would be the same', () => {
  it('until something new is held, or something is held no longer', async () => {
    const scene = new Scene(['/a', '/b']).engine('/a').engine(null);
    await scene.select();
    const { selection, clock } = scene;
    expect(selection.staysAs(scene.input)).toBe(true);
    selection.hold('/a');
    expect(selection.staysAs(scene.input)).toBe(true);
    selection.hold('/b');
    expect(selection.staysAs(scene.input)).toBe(false);
    await scene.select();
    expect(selection.staysAs(scene.input)).toBe(true);
    await clock.advance(10_000);
    // The engine holds its own anew.
    expect(selection.staysAs(scene.input)).toBe(true);
    await clock.advance(1);
    expect(selection.staysAs(scene.input)).toBe(false);
    expect(await scene.select()).toEqual(['/a']);
    scene.engine('/b');
    expect(selection.staysAs(scene.input)).toBe(false);
  });
});

describe('a launched worker without its record', () => {
  const launching = (agoMs: number, id = 'llm/8080') => ({ id, sinceMs: Date.now() - agoMs });

  it('waits for it while it is launched, for half a minute; one that is watched or recorded stays', async () => {
    const scene = new Scene(['/hivepulse.slice', own]);
    expect(await scene.select()).toEqual([own]);
    const at = async (agoMs: number, id?: string) => {
      scene.records = { ...scene.records, launching: [launching(agoMs, id)] };
      return (await scene.select()).length;
    };
    expect([await at(0), await at(60_000), await at(0, 'llm/other')]).toEqual([0, 1, 1]);
    scene.watched = new Set([own]);
    expect(await at(0)).toBe(1);
    scene.watched = new Set();
    scene.records = { ...scene.records, running: [record({ instance: 'other' })] };
    expect(await at(0)).toBe(0);
    scene.records = { ...scene.records, running: [record()] };
    expect(await at(0)).toBe(1);
  });

  it('waits while records cannot be read, and one that was found by itself does not', async () => {
    const container = `/system.slice/docker-${'0a'.repeat(32)}.scope`;
    const scene = new Scene(['/hivepulse.slice', own, '/a', container]).engine('/a');
    scene.recordsUnread = true;
    expect(await scene.select()).toEqual(['/a', container]);
    expect([mayStillBeRead(119_999), mayStillBeRead(120_000)]).toEqual([true, false]);
  });

  it.each([
    ['its name alone where it names no cgroup', {}, true],
    ['its cgroup', { cgroup: '/cg/a' }, true],
    ['its name where its cgroup is of another view of the tree', { cgroup: '/other/b' }, true],
    ['no other cgroup', { cgroup: '/cg/b' }, false],
    ['no other group', { group: 'x', cgroup: '/cg/a' }, false],
    ['no other instance', { instance: 'x', cgroup: '/cg/a' }, false],
  ])('a record is of %s', (_title, over, is) => {
    expect(isRecordOf(record(over), '/cg', '/a', { group: 'llm', instance: '8080' })).toBe(is);
  });
});
