import { describe, expect, it } from 'vitest';
import { type Classified, classifyAbove } from '../../lib/workers/classify.js';
import { WorkerDescriptions } from '../../lib/workers/describe-workers.js';
import { type Unnamed, WorkerIds } from '../../lib/workers/identity.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import type { Selected } from '../../lib/workers/selection.js';

const record = (over: Partial<WorkerRecord> = {}): WorkerRecord =>
  ({ group: 'llm', instance: '8080', pid: 7, startTicks: 70, cgroup: null, exit: null, ...over }) as WorkerRecord;
const own = '/hivepulse.slice/llm/8080';
const container = `/system.slice/docker-${'0a'.repeat(32)}.scope`;
const named = (path: string) => classifyAbove(path)?.found as Classified;

/** Describes what was selected, with names of containers and limits that the test gives. */
class Scene {
  names = new Map<string, string | null>();
  limits = { memoryBytes: null as number | null, cpuPercent: null as number | null };
  readonly #descriptions = new WorkerDescriptions(
    { find: async (_entry, path) => this.names.get(path) ?? null },
    { of: () => this.limits },
  );

  of(found: Readonly<Record<string, Selected>>, running: readonly WorkerRecord[] = []) {
    return this.#descriptions.describe('/cg', new Map(Object.entries(found)), running);
  }
}

describe('what is watched at a cgroup', () => {
  it('that `run` made is a launched worker with its record, and the limits above it', async () => {
    const scene = new Scene();
    scene.names.set(own, 'never asked');
    scene.limits = { memoryBytes: 500, cpuPercent: 50 };
    const kept = record({ cgroup: `/cg${own}` });
    const other = record({ cgroup: '/cg/elsewhere' });
    expect(await scene.of({ [own]: named(own) }, [record({ instance: 'x' }), kept, other])).toEqual([
      {
        scope: 'cgroup',
        id: 'llm/8080',
        group: 'llm',
        instance: '8080',
        path: own,
        directory: `/cg${own}`,
        origin: 'launched',
        name: null,
        record: kept,
        ancestorMemoryBytes: 500,
        ancestorCpuPercent: 50,
      },
    ]);
    expect((await scene.of({ [own]: named(own) }, [other]))[0]?.record).toBeNull();
    expect((await scene.of({ '/any/path': record() }, [record()]))[0]).toMatchObject({
      id: 'llm/8080',
      origin: 'launched',
      record: record(),
    });
  });

  it('of a container is an adopted worker by the name that the host has for it, and has no record', async () => {
    const scene = new Scene();
    scene.names.set(container, 'vllm-1');
    scene.names.set('/a', 'never asked');
    const [adopted, found] = await scene.of({ '/a': null, [container]: named(container) }, [
      record({ group: named(container).group, instance: named(container).instance }),
    ]);
    expect(adopted).toMatchObject({ path: '/a', origin: 'adopted', name: null, record: null, group: 'cgroup' });
    expect(found).toMatchObject({ path: container, origin: 'adopted', name: 'vllm-1', record: null });
  });

  it('that `run` gave up is named by its path as any other', async () => {
    const scene = new Scene();
    const [launched] = await scene.of({ '/x': record() });
    const [adopted] = await scene.of({ '/x': null });
    const [fresh] = await new Scene().of({ '/x': null });
    expect(launched?.group).toBe('llm');
    expect(adopted).toEqual(fresh);
  });

  it('is in the order of its paths, whatever the order in which it was found', async () => {
    const paths = async (...found: readonly string[]) =>
      (await new Scene().of(Object.fromEntries(found.map((path) => [path, null])))).map(({ path }) => path);
    expect(await paths('/c', '/a', '/b')).toEqual(['/a', '/b', '/c']);
    expect(await paths('/a', '/b', '/c')).toEqual(['/a', '/b', '/c']);
  });

  it('is the same object as long as nothing of it changes, and the same list where that holds for all', async () => {
    const scene = new Scene();
    const first = await scene.of({ '/a': null, '/b': null });
    expect(await scene.of({ '/b': null, '/a': null })).toBe(first);
    const fewer = await scene.of({ '/b': null });
    expect(fewer).toHaveLength(1);
    expect(fewer[0]).toBe(first[1]);
    const again = await scene.of({ '/b': null, '/c': null });
    expect(again[0]).toBe(first[1]);
    expect((await scene.of({ '/b': null, '/d': null })).map(({ path }) => path)).toEqual(['/b', '/d']);
    expect((await scene.of({ '/b': null })).map(({ path }) => path)).toEqual(['/b']);
    await scene.of({ '/b': null, '/c': null });
    scene.limits = { memoryBytes: 7, cpuPercent: null };
    const limited = await scene.of({ '/b': null, '/c': null });
    expect(limited.map(({ ancestorMemoryBytes }) => ancestorMemoryBytes)).toEqual([7, 7]);
    const kept = record({ cgroup: `/cg${own}` });
    const [before] = await scene.of({ [own]: named(own) });
    const [after] = await scene.of({ [own]: named(own) }, [kept]);
    expect([before?.record, after?.record]).toEqual([null, kept]);
    // Two come for two: as many, and none is the same.
    expect((await scene.of({ '/x': null })).map(({ path }) => path)).toEqual(['/x']);
  });

  it('under a name of ours at another place has an id of its own until a record says that it is ours', async () => {
    const scene = new Scene();
    const elsewhere = `/user.slice/user-1000.slice/user@1000.service${own}`;
    const entry = named(elsewhere);
    expect(entry).toMatchObject({ kind: 'own', group: 'llm', instance: '8080' });
    const [first, second] = await scene.of({ [own]: named(own), [elsewhere]: entry });
    expect(first?.id).toBe('llm/8080');
    expect(second?.id).toMatch(/^llm\/8080.+/);
    const fresh = new Scene();
    const [known] = await fresh.of({ [elsewhere]: entry }, [record({ cgroup: `/cg${elsewhere}` })]);
    expect(known?.id).toBe('llm/8080');
  });
});

describe('ids of cgroups', () => {
  const cgroup = (path: string, over: Partial<Unnamed> = {}): Unnamed => ({
    path,
    group: 'docker',
    instance: 'x',
    shared: false,
    ...over,
  });
  const assign = (ids: WorkerIds, ...cgroups: readonly Unnamed[]) => [...ids.assign(cgroups).values()];

  it('are their names, and by their paths where two have the same name', () => {
    const [one, two] = assign(new WorkerIds(), cgroup('/a'), cgroup('/b'));
    expect(assign(new WorkerIds(), cgroup('/a'))).toEqual(['x']);
    expect(assign(new WorkerIds(), cgroup('/a'), cgroup('/b', { group: 'podman' }))).toEqual(['x', 'x']);
    expect(assign(new WorkerIds(), cgroup('/a'), cgroup('/b', { instance: 'y' }))).toEqual(['x', 'y']);
    expect(one).not.toBe(two);
    for (const each of [one, two]) expect(each).toMatch(/^x.+/);
  });

  it('stay as long as they are watched, whatever comes or goes beside them', () => {
    const ids = new WorkerIds();
    expect(assign(ids, cgroup('/a'))).toEqual(['x']);
    const [first, second] = assign(ids, cgroup('/a'), cgroup('/b'));
    expect(first).toBe('x');
    expect(second).not.toBe('x');
    expect(assign(ids, cgroup('/b'))).toEqual([second]);
    expect(assign(ids, cgroup('/b', { instance: 'z' }))).toEqual(['z']);
    assign(ids);
    expect(assign(ids, cgroup('/b'))).toEqual(['x']);
  });

  it('of one whose name may be another one’s are by its path, and take the name from nobody', () => {
    const [shared, plain] = assign(new WorkerIds(), cgroup('/a', { shared: true }), cgroup('/b'));
    expect(shared).toMatch(/^x.+/);
    expect(plain).toBe('x');
  });
});
