import { describe, expect, it } from 'vitest';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import { TreeWorkers } from '../../lib/workers/tree-workers.js';

const process = (pid: number, parentPid: number, over: Partial<KnownProcess> = {}): KnownProcess => ({
  ...{ pid, startTicks: pid, parentPid, comm: 'python3', session: 1, marker: null, cgroup: '/' },
  ...{ argv: [], engine: null, role: {} as never },
  ...over,
});
const launched = (pid: number, over: Partial<WorkerRecord> = {}): WorkerRecord =>
  ({
    group: 'llm',
    instance: '8080',
    pid,
    startTicks: pid,
    cgroup: null,
    marker: `m${pid}`,
    exit: null,
    ...over,
  }) as never;

/** Processes of a host, and the trees that are found among them. */
class Scene {
  list: readonly KnownProcess[];
  running: readonly WorkerRecord[] = [];
  launching: readonly { id: string; sinceMs: number }[] = [];
  shared: ((cgroup: string | null) => boolean) | null = (cgroup) => cgroup === '/';
  generation = 0;
  marked = 0;
  readonly workers: TreeWorkers;

  constructor(...list: readonly KnownProcess[]) {
    this.list = list;
    const find = (pid: number) => this.list.find((each) => each.pid === pid) ?? null;
    const same = (pid: number, startTicks: number) => {
      const found = find(pid);
      return found?.startTicks === startTicks ? found : null;
    };
    const scene = this;
    this.workers = new TreeWorkers({
      processes: {
        all: () => scene.list.values() as never,
        get: find,
        find: same,
        get generation() {
          return scene.generation;
        },
        readMarkers: () => {
          scene.marked += 1;
        },
      },
    });
  }

  update() {
    this.generation += 1;
    return this.same();
  }

  same(situation = '') {
    const { running, launching } = this;
    return this.workers.update(this.shared, situation, { running, launching });
  }

  /** Instances with the pids of their members. */
  found() {
    return this.update().trees.map(({ group, instance, members }) => [
      `${group}/${instance}`,
      members.map(({ pid }) => pid),
    ]);
  }
}

describe('a worker without a cgroup of its own', () => {
  it('is an engine and what descends from it, where its cgroup is that of others as well', () => {
    const engine = process(5, 1, { engine: 'vllm' });
    const scene = new Scene(
      process(1, 0),
      engine,
      process(6, 5),
      process(7, 1),
      process(8, 1, { engine: 'vllm', cgroup: '/a' }),
    );
    expect(scene.found()).toEqual([['processes/vllm-5', [5, 6]]]);
    const { trees, treeOf, outer } = scene.update();
    expect(trees[0]).toMatchObject({
      key: 'processes:5:5',
      record: null,
      members: [
        { pid: 5, startTicks: 5 },
        { pid: 6, startTicks: 6 },
      ],
    });
    expect([...treeOf]).toEqual([
      ['5/5', 'processes:5:5'],
      ['6/6', 'processes:5:5'],
    ]);
    expect([...outer]).toEqual([['processes:5:5', null]]);
    expect(scene.marked).toBe(0);
  });

  it('is what was seen to hold a GPU, until it ends; one that is no process is not counted', () => {
    const scene = new Scene(process(1, 0), process(5, 1), process(6, 1));
    const { workers } = scene;
    expect([workers.isEmpty, workers.holdersSeen]).toEqual([true, 0]);
    workers.holdsGpu(99);
    expect([workers.isEmpty, workers.holdersSeen]).toEqual([true, 0]);
    workers.holdsGpu(6);
    expect(workers.holdersSeen).toBe(1);
    workers.holdsGpu(6);
    expect([workers.isEmpty, workers.holdersSeen]).toEqual([false, 1]);
    expect(scene.found()).toEqual([['processes/python3-6', [6]]]);
    scene.list = scene.list.slice(0, 2);
    expect(scene.found()).toEqual([]);
    expect(workers.isEmpty).toBe(true);
    scene.list = [...scene.list, process(6, 1, { startTicks: 60 })];
    expect(scene.found()).toEqual([]);
  });

  it('lives on without its root as long as something that descends from it does', () => {
    const scene = new Scene(process(1, 0), process(5, 1, { engine: 'vllm' }), process(6, 5));
    scene.found();
    scene.list = [process(1, 0), process(6, 1)];
    expect(scene.found()).toEqual([['processes/vllm-5', [6]]]);
    expect(scene.workers.isEmpty).toBe(false);
    scene.list = [process(1, 0)];
    expect(scene.found()).toEqual([]);
    expect(scene.workers.isEmpty).toBe(true);
  });

  it('is one with all engines below its own, also below those of another program, and the oldest comes first', () => {
    const scene = new Scene(
      ...[process(1, 0), process(9, 1, { engine: 'ollama' }), process(5, 1, { engine: 'vllm' })],
      ...[process(6, 5), process(7, 6, { engine: 'vllm' }), process(12, 9, { engine: 'llama-server' })],
    );
    expect(scene.found()).toEqual([
      ['processes/vllm-5', [5, 6, 7]],
      ['processes/ollama-9', [9, 12]],
    ]);
  });

  it('is one also where all began in the same tick, in whatever order they are listed', () => {
    const at = { startTicks: 50, engine: 'vllm' } as const;
    expect(new Scene(process(6, 5, at), process(5, 1, at)).found()).toEqual([['processes/vllm-5', [5, 6]]]);
    const between = process(6, 5, { startTicks: 50 });
    const far = new Scene(process(7, 6, at), between, process(5, 1, at));
    expect(far.found()).toEqual([['processes/vllm-5', [5, 6, 7]]]);
  });

  it('is found where parents lead in a circle, or away from what was seen', () => {
    const scene = new Scene(
      process(5, 6, { engine: 'vllm' }),
      process(6, 5),
      process(7, 99, { engine: 'vllm' }),
      process(8, 8, { engine: 'vllm' }),
    );
    expect(scene.found().map(([name]) => name)).toEqual(['processes/vllm-5', 'processes/vllm-7', 'processes/vllm-8']);
  });

  it.each([
    ['my server (1)', 'my-server-1--5'],
    ['../x', 'process.-x-5'],
    ['-x', 'process-x-5'],
    ['a..b...c', 'a.b.c-5'],
    ['', 'process-5'],
    ['A_b.c-d', 'A_b.c-d-5'],
  ])('is called by its program, %j as %s', (comm, instance) => {
    const scene = new Scene(process(5, 1, { comm }));
    scene.workers.holdsGpu(5);
    expect(scene.found()).toEqual([[`processes/${instance}`, [5]]]);
  });
});

describe('a launched worker without a cgroup', () => {
  it('is the tree of its record, also where no other is looked for, and its environment is asked for', () => {
    const scene = new Scene(
      process(1, 0),
      process(5, 1),
      process(6, 5),
      process(9, 1, { marker: 'm5' }),
      process(8, 1, { engine: 'vllm' }),
    );
    scene.shared = null;
    expect(scene.found()).toEqual([]);
    const record = launched(5);
    scene.running = [record];
    expect(scene.found()).toEqual([['llm/8080', [5, 6, 9]]]);
    expect(scene.update().trees[0]).toMatchObject({ key: 'processes:5:5', record });
    expect(scene.marked).toBeGreaterThan(0);
  });

  it.each([
    ['has a cgroup', { cgroup: '/cg/a' }],
    ['has no start', { startTicks: null }],
    ['has no marker', { marker: undefined }],
  ])('is none by a record that %s', (_title, over) => {
    const scene = new Scene(process(5, 1));
    scene.running = [launched(5, over as Partial<WorkerRecord>)];
    expect(scene.found()).toEqual([]);
    expect(scene.marked).toBe(0);
  });

  it('takes the place of the tree that was found before its record, and gives it up with it', () => {
    const scene = new Scene(process(1, 0), process(5, 1, { engine: 'vllm' }), process(6, 5));
    expect(scene.found()).toEqual([['processes/vllm-5', [5, 6]]]);
    scene.running = [launched(5)];
    expect(scene.found()).toEqual([['llm/8080', [5, 6]]]);
    scene.list = [process(1, 0)];
    expect(scene.found()).toEqual([]);
  });

  it('may be what is new: while one is launched no other tree is found, and those that are there stay', () => {
    const scene = new Scene(process(1, 0), process(5, 1, { engine: 'vllm' }));
    scene.found();
    scene.list = [...scene.list, process(9, 1, { engine: 'vllm' })];
    scene.launching = [{ id: 'llm/8080', sinceMs: Date.now() }];
    expect(scene.found()).toEqual([['processes/vllm-5', [5]]]);
    scene.launching = [{ id: 'llm/8080', sinceMs: Date.now() - 60_000 }];
    expect(scene.found()).toEqual([
      ['processes/vllm-5', [5]],
      ['processes/vllm-9', [9]],
    ]);
  });
});

it('trees are the same as long as nothing of what they are made of changes, and made anew for each of it', () => {
  const scene = new Scene(process(1, 0), process(5, 1, { engine: 'vllm' }), process(6, 1));
  const first = scene.update();
  expect(scene.same()).toBe(first);
  const other = scene.same('another');
  expect(other).not.toBe(first);
  scene.workers.holdsGpu(6);
  const held = scene.same('another');
  expect(held.trees.map(({ instance }) => instance)).toEqual(['vllm-5', 'python3-6']);
  scene.running = [launched(6)];
  const run = scene.same('another');
  expect(run.trees.map(({ group }) => group)).toEqual(['processes', 'llm']);
  const exit = { at: '2026-01-01T00:00:00Z', remaining: 1 };
  scene.running = [launched(6, { exit } as never)];
  expect(scene.same('another').trees[1]?.record?.exit).toEqual(exit);
});
