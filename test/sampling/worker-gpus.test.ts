import { describe, expect, it } from 'vitest';
import type { GpuDevice, GpuReading } from '../../lib/gpu/reading.js';
import type { HeldDeviceFiles } from '../../lib/sampling/device-files.js';
import { track } from '../../lib/sampling/tracked.js';
import { UnobservedGpus } from '../../lib/sampling/unobserved-gpus.js';
import { WorkerGpus } from '../../lib/sampling/worker-gpus.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { watched } from './worker-support.js';

const device = (uuid: string, over: Partial<GpuDevice> = {}): GpuDevice =>
  ({
    uuid,
    index: 0,
    parentUuid: null,
    health: 'ok',
    memoryTotalBytes: 100,
    unsupported: [],
    processesKnown: true,
    ...over,
  }) as GpuDevice;
const reading = (over: Partial<GpuReading> = {}): GpuReading => ({
  ...{ reader: 'nvml', reason: null, ageMs: 0, status: 'working', devices: [device('G0')], processes: [], faults: [] },
  ...over,
});
const held = (gpuUuid: string, pid: number, memoryUsedBytes: number | null = 10) => ({
  gpuUuid,
  pid,
  memoryUsedBytes,
  utilizationPercent: 5,
});

/** Attributes GPUs to workers by their paths, among processes of the host. */
class Scene {
  readonly calls: string[] = [];
  readonly known = new Map<number, Partial<KnownProcess>>();
  readonly tracked = new Map<string, ReturnType<typeof track>>();
  files: HeldDeviceFiles | null = null;
  readonly updates: number[] = [];
  readonly gpus: WorkerGpus;

  constructor({ pidsKnown = true, deviceFiles = false } = {}) {
    this.gpus = new WorkerGpus({
      gpuPidsKnown: pidsKnown,
      discovery: {
        trees: { treeOf: new Map() },
        keepHeld: () => void this.calls.push('keepHeld'),
        holdsGpu: (path: string | null, pid: number | null) => void this.calls.push(`holds ${path} ${pid}`),
      },
      processes: {
        get: (pid: number) => this.known.get(pid) ?? null,
        want: (pid: number) => void this.calls.push(`want ${pid}`),
      },
      deviceFiles: deviceFiles
        ? {
            update: (processes: readonly unknown[]) => void this.updates.push(processes.length),
            held: () => this.files,
            faults: () => [{ source: 'proc', code: 'FILES', message: 'files' }],
          }
        : null,
    } as never);
  }

  worker(path: string, over: object = {}, origin: 'launched' | 'adopted' = 'launched'): this {
    this.tracked.set(path, Object.assign(track(watched({ path, origin }), 0, 0), over));
    return this;
  }

  update(now: GpuReading, paths: Readonly<Record<number, string>> = {}): this {
    this.calls.length = 0;
    this.gpus.update(now, this.tracked, () => {
      this.calls.push('paths');
      return new Map(Object.entries(paths).map(([pid, path]) => [Number(pid), path]));
    });
    return this;
  }
}

describe('the GPUs of a worker', () => {
  it('are those that its processes hold, by the pass or by what is known of the process', () => {
    const scene = new Scene().worker('/a').worker('/b');
    scene.known.set(12, { cgroup: '/b/sub' });
    scene.update(reading({ processes: [held('G0', 11), held('G0', 12), held('G0', 13)] }), { 11: '/a' });
    const of = (bytes: number) => [{ uuid: 'G0', memoryUsedBytes: bytes, utilizationPercent: 5 }];
    expect([scene.gpus.of('/a'), scene.gpus.of('/b'), scene.gpus.of('/c')]).toEqual([of(10), of(10), []]);
    // One that is not known is asked for, and held against nobody.
    expect(scene.calls).toEqual(['paths', 'want 13', 'holds null 13']);
    expect(scene.gpus.reasonOf(scene.gpus.of('/a'), false)).toBeNull();
  });

  it('keep an adopted cgroup a worker; a launched one, or a tree, needs nothing to stay one', () => {
    const scene = new Scene().worker('/a', {}, 'adopted').worker('/b').worker('processes:1:1', {}, 'adopted');
    const processes = [held('G0', 11), held('G0', 12), held('G0', 13)];
    scene.update(reading({ processes }), { 11: '/a', 12: '/b', 13: 'processes:1:1' });
    expect(scene.calls).toEqual(['paths', 'holds /a null']);
  });

  it('are looked for in no pass where no GPU is held', () => {
    const scene = new Scene().worker('/a').update(reading());
    expect(scene.calls).toEqual([]);
    expect(scene.gpus.of('/a')).toEqual([]);
  });

  it.each([
    ['before the first reading', null, 'the GPUs have not been read yet'],
    ['while the driver gives no answer', reading({ status: 'stalled' }), 'the driver does not answer'],
    ['where there is no driver', reading({ status: 'absent', devices: [] }), null],
    ['where there is no GPU', reading({ devices: [] }), []],
  ] as const)('are not known, or none, %s', (_title, now, expected) => {
    const scene = new Scene().worker('/a');
    if (now !== null) scene.update(now);
    const gpus = scene.gpus.of('/a');
    if (Array.isArray(expected)) expect(gpus).toEqual(expected);
    else expect([gpus, scene.gpus.reasonOf(gpus, false)]).toEqual([null, expected]);
    const elsewhere = new Scene({ pidsKnown: false });
    if (now?.status === 'absent') expect(elsewhere.update(now).gpus.reasonOf(null, false)).toBeNull();
    if (now?.status === 'stalled') expect(scene.calls).toEqual(['keepHeld']);
  });

  it('are not known where the pids of the driver mean nothing, which is said of the host as well', () => {
    const scene = new Scene({ pidsKnown: false }).worker('/a');
    const now = reading({ processes: [held('G0', 11)] });
    scene.update(now, { 11: '/a' });
    const reason = 'the hive runs in a pid namespace of its own, where the pids of the driver mean nothing';
    expect([scene.gpus.of('/a'), scene.gpus.reasonOf(null, false)]).toEqual([null, reason]);
    expect(scene.calls).toEqual([]);
    const { gpus, faults } = scene.gpus.samples(now);
    expect(faults).toMatchObject([{ source: 'gpu', code: 'PID_NAMESPACE', field: 'workers.gpus' }]);
    expect(gpus).toMatchObject([{ processCount: 1, unattributedBytes: null }]);
    expect(scene.gpus.samples(reading()).faults).toEqual([]);
    expect(scene.gpus.samples(reading({ status: 'stalled', processes: [held('G0', 11)] })).faults).toEqual([]);
    const known = new Scene().update(now);
    expect(known.gpus.samples(now).faults).toEqual([]);
  });

  it('may be more where one does not list its processes', () => {
    const scene = new Scene().worker('/a');
    scene.update(reading({ devices: [device('G0'), device('G1', { index: 1, processesKnown: false })] }));
    const [tracked] = scene.tracked.values();
    const gpus = scene.gpus.of('/a');
    expect(scene.gpus.inDoubt(tracked!, gpus)).toBe(true);
    expect(scene.gpus.inDoubt(tracked!, null)).toBe(false);
    expect(scene.gpus.reasonOf(gpus, true)).toBe('a GPU that it may hold does not list its processes');
    expect(scene.gpus.doubts().map(({ code, gpuUuid }) => [code, gpuUuid])).toEqual([['GPU_PROCESSES_UNKNOWN', 'G1']]);
    scene.update(reading());
    expect(scene.gpus.inDoubt(tracked!, scene.gpus.of('/a'))).toBe(false);
    expect(scene.gpus.doubts()).toEqual([]);
  });

  it('may be those that it held, and not those that it never did', () => {
    const scene = new Scene();
    const never = { health: 'lost', processesKnown: false } as const;
    scene
      .worker('/a', { state: { gpuUuids: ['G1'] } })
      .worker('/b', { state: { gpuUuids: [] } })
      .worker('/c', { predates: true });
    scene.update(reading({ devices: [device('G0'), device('G1', never)], processes: [held('G0', 13)] }), { 13: '/c' });
    const doubt = (path: string) => scene.gpus.inDoubt(scene.tracked.get(path)!, scene.gpus.of(path));
    expect([doubt('/a'), doubt('/b'), doubt('/c')]).toEqual([true, false, false]);
    scene.update(reading({ devices: [device('G0'), device('G1', never)] }));
    expect(doubt('/c')).toBe(true);
  });

  it('of one that no longer lists its processes: who held it stays watched', () => {
    const scene = new Scene().update(reading());
    const silent = reading({ devices: [device('G0', { processesKnown: false })] });
    expect(scene.update(silent).calls).toEqual(['keepHeld']);
    expect(new Scene().update(silent).calls).toEqual([]);
    const elsewhere = new Scene({ pidsKnown: false }).update(reading());
    expect(elsewhere.update(silent).calls).toEqual([]);
  });
});

describe('the GPUs of the host', () => {
  it('are healthy where they answer in full, or with a defect', () => {
    const health = ['ok', 'degraded', 'lost', 'stalled', 'resetRequired', 'noPermission'] as const;
    const devices = health.map((each) => device(each, { health: each, memoryTotalBytes: each === 'ok' ? 7 : null }));
    const { gpus } = new Scene().update(reading({ devices }));
    expect([...gpus.healthy]).toEqual(['ok', 'degraded']);
    expect([...gpus.totals].slice(0, 2)).toEqual([
      ['ok', 7],
      ['degraded', null],
    ]);
  });

  it('count their processes, and what belongs to no worker, where they list them', () => {
    const scene = new Scene().worker('/a');
    const devices = [device('G0'), device('G1'), device('G2', { processesKnown: false }), device('G3')];
    const processes = [held('G0', 11), held('G0', 12, 7), held('G1', 13, null), held('G3', 11)];
    const now = reading({ devices, processes, faults: [{ source: 'gpu', code: 'X', message: 'X' }] });
    scene.update(now, { 11: '/a' });
    const { gpus, faults } = scene.gpus.samples(now);
    expect(gpus.map(({ uuid, processCount, unattributedBytes }) => [uuid, processCount, unattributedBytes])).toEqual([
      ['G0', 2, 7],
      ['G1', 1, null],
      ['G2', null, null],
      ['G3', 1, 0],
    ]);
    expect(gpus[0]).not.toHaveProperty('processesKnown');
    expect(faults).toEqual(now.faults);
    const silent = scene.gpus.samples({ ...now, status: 'stalled' }).gpus;
    expect(
      silent.every(({ processCount, unattributedBytes }) => processCount === null && unattributedBytes === null),
    ).toBe(true);
  });

  it('without a process have nothing that belongs to nobody, also where pids mean nothing', () => {
    const scene = new Scene({ pidsKnown: false }).update(reading());
    expect(scene.gpus.samples(reading()).gpus).toMatchObject([{ processCount: 0, unattributedBytes: 0 }]);
  });

  it('say why they do not give a value of a worker, as unsupported or by a fault', () => {
    const faults = [
      { source: 'gpu', code: 'X', message: 'X', gpuUuid: 'G1', field: 'workers.gpus.utilizationPercent' },
      { source: 'gpu', code: 'X', message: 'X', gpuUuid: 'G2' },
      { source: 'gpu', code: 'X', message: 'X', field: 'workers.gpus.utilizationPercent' },
    ];
    const devices = [device('G0', { unsupported: ['workers.gpus.memoryUsedBytes'] }), device('G1')];
    const { explains } = new Scene().update(reading({ devices, faults })).gpus;
    expect(explains('G0', 'memoryUsedBytes')).toBe(true);
    expect(explains('G0', 'utilizationPercent')).toBe(false);
    expect(explains('G1', 'utilizationPercent')).toBe(true);
    expect(explains('G1', 'memoryUsedBytes')).toBe(false);
  });
});

describe('GPUs that are inferred', () => {
  const engine = { described: { serving: { engine: 'vllm' } }, identity: [{ pid: 1 }, { pid: 2 }, null] };
  const files: HeldDeviceFiles = {
    cards: new Set(['/dev/nvidia0']),
    open: new Set(),
    mapped: new Set(['/dev/nvidia0']),
  };

  function inferring(): Scene {
    const scene = new Scene({ pidsKnown: false, deviceFiles: true });
    scene.files = files;
    return scene.worker('/other', { described: { serving: { engine: null } } }).worker('/new');
  }

  it('are those of the only engine, whose processes are looked at', () => {
    const scene = inferring().worker('/a', engine).update(reading());
    expect(scene.gpus.inferredOf('/a')?.gpus.map(({ uuid }) => uuid)).toEqual(['G0']);
    expect(scene.gpus.inferredOf('/other')).toBeNull();
    expect(scene.updates).toEqual([2]);
    expect(scene.gpus.doubts()).toMatchObject([{ code: 'FILES' }]);
  });

  it.each<[string, Scene, GpuReading]>([
    ['of several engines', inferring().worker('/a', engine).worker('/b', engine), reading()],
    ['without an engine', inferring(), reading()],
    ['while the driver gives no answer', inferring().worker('/a', engine), reading({ status: 'stalled' })],
    ['where there is no GPU', inferring().worker('/a', engine), reading({ devices: [] })],
  ])('are none %s, and no process is looked at', (_title, scene, now) => {
    scene.update(now);
    expect(scene.gpus.inferredOf('/a')).toBeNull();
    expect(scene.updates).toEqual([0]);
  });

  it('are none where the files that its processes hold are not known, or other ones', () => {
    const scene = inferring().worker('/a', engine);
    scene.files = null;
    expect(scene.update(reading()).gpus.inferredOf('/a')).toBeNull();
    scene.files = { ...files, mapped: new Set() };
    expect(scene.update(reading()).gpus.inferredOf('/a')).toBeNull();
    expect(new Scene().worker('/a', engine).update(reading()).gpus.inferredOf('/a')).toBeNull();
  });
});

describe('a GPU that does not list its processes', () => {
  const nobody = { held: [], holdsElsewhere: false, predates: false };
  const silent = { processesKnown: false } as const;
  const never = { ...silent, unsupported: ['processCount'] };
  const doubts = (over: Partial<GpuDevice>, evidence: object, seenBefore = false) => {
    const gpus = new UnobservedGpus();
    if (seenBefore) gpus.update(reading());
    gpus.update(reading({ devices: [device('G0', over)] }));
    return gpus.mayHoldUnobserved({ ...nobody, ...evidence });
  };

  it.each<[string, boolean, Partial<GpuDevice>, object, boolean?]>([
    ['that it held', true, { ...silent, health: 'lost' }, { held: ['G0'] }],
    ['of which only another was held', false, { ...silent, health: 'lost' }, { held: ['G9'] }],
    ['that could, wherever it is seen', true, silent, { holdsElsewhere: true }],
    ['that could, with a defect', true, { ...silent, health: 'degraded' }, { holdsElsewhere: true }],
    ['that never does, where it is seen elsewhere', false, never, { holdsElsewhere: true }],
    ['that never does, where it is seen nowhere', true, never, {}],
    ['that is refused, where it is seen nowhere', true, { ...silent, health: 'noPermission' }, {}],
    [
      'that is refused, where it is seen elsewhere',
      false,
      { ...silent, health: 'noPermission' },
      { holdsElsewhere: true },
    ],
    ['that is lost, where it runs since then', false, { ...silent, health: 'lost' }, {}],
    ['that is lost, where it ran before', true, { ...silent, health: 'lost' }, { predates: true }],
    ['that is lost and was seen without it', false, { ...silent, health: 'lost' }, { predates: true }, true],
    ['that lists them', false, {}, { held: ['G0'] }],
  ])('may be held by a worker: one %s, %s', (_title, is, over, evidence, seenBefore) => {
    expect(doubts(over, evidence, seenBefore)).toBe(is);
  });

  it('is none where it is cut into parts, and none while the driver gives no answer', () => {
    const gpus = new UnobservedGpus();
    const part = device('M0', { parentUuid: 'G0' });
    gpus.update(reading({ devices: [device('G0', silent), part] }));
    expect(gpus.mayHoldUnobserved({ ...nobody, held: ['G0'] })).toBe(false);
    gpus.update(reading({ status: 'stalled', devices: [device('G0', silent)] }));
    expect(gpus.mayHoldUnobserved({ ...nobody, held: ['G0'], predates: true })).toBe(false);
    expect(gpus.becameUnobserved).toBe(false);
    expect(new UnobservedGpus().mayHoldUnobserved({ ...nobody, predates: true })).toBe(false);
  });

  it('is one fault however many may hold it, until the next reading', () => {
    const gpus = new UnobservedGpus();
    gpus.update(reading({ devices: [device('G0', { ...silent, index: 4 }), device('G1')] }));
    for (let i = 0; i < 2; i += 1) gpus.mayHoldUnobserved(nobody);
    const [fault, ...others] = gpus.faults();
    expect(fault).toMatchObject({ source: 'gpu', code: 'GPU_PROCESSES_UNKNOWN', field: 'workers.gpus', gpuUuid: 'G0' });
    expect(fault?.message).toMatch(/^GPU 4 does not report/);
    expect(others).toEqual([]);
    gpus.update(reading({ devices: [device('G0', silent)] }));
    expect(gpus.faults()).toEqual([]);
  });

  it('has become one where it listed them before', () => {
    const gpus = new UnobservedGpus();
    const one = reading({ devices: [device('G0'), device('G1', silent)] });
    gpus.update(one);
    expect(gpus.becameUnobserved).toBe(false);
    gpus.update(reading({ devices: [device('G0', silent), device('G1', silent)] }));
    expect(gpus.becameUnobserved).toBe(true);
    gpus.update(one);
    expect(gpus.becameUnobserved).toBe(false);
  });
});
