import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { Kfd, parseKfdNode } from '../../../lib/gpu/amd/kfd.js';
import { CardReading } from '../../../lib/gpu/drm/card.js';
import type { CardContext, CardMeter, ComputeHolder } from '../../../lib/gpu/drm/driver.js';
import type { EngineUse } from '../../../lib/gpu/drm/engine-meter.js';
import type { DrmHolder } from '../../../lib/gpu/drm/processes.js';
import { reportCard } from '../../../lib/gpu/drm/report.js';
import { gpuReason } from '../../../lib/gpu/reasons.js';
import type { ReportedValues } from '../../../lib/gpu/report.js';
import { GuardedReader } from '../../../lib/io/guarded.js';
import { DrmClient, DrmShape } from '../../../lib/native/drm-clients.js';
import { ManualClock } from '../../harness/manual-clock.js';
import { MemoryTree } from '../../io/fake-files.js';

const pdev = '0000:03:00.0';
const identity = { pdev, pciId: '1002:744C', driver: 'amdgpu' } as never;

/** A client that holds so many bytes; null: it does not say it. */
const client = (bytes: number | null): DrmClient =>
  bytes === null
    ? new DrmClient(new DrmShape(['amdgpu', pdev, '1'], [], [], []), [])
    : new DrmClient(new DrmShape(['amdgpu', pdev, '1'], [], [], ['vram']), [bytes]);
const use = (percent: number, everBusy = percent > 0): EngineUse => ({
  engines: ['gfx'],
  percents: [percent],
  everBusy,
});
const holder = (pid: number, ...clients: readonly (readonly [number | null, EngineUse | null])[]): DrmHolder =>
  ({ pid, clients: clients.map(([bytes, each]) => ({ client: client(bytes), use: each })) }) as never;

const meter = (values: Partial<ReportedValues> = {}): CardMeter => ({
  unifiedMemory: false,
  measure: () => ({ name: 'card', computeCapability: 'gfx1100', values, reasons: {} }),
  bytesOf: (each) => (each.shape.regions.length === 0 ? null : each.bytes(0)),
});
const reading = new CardReading(new Map(), []);

function report(
  holders: readonly DrmHolder[],
  computeHolders: readonly ComputeHolder[] = [],
  { values = {}, incomplete = null }: { values?: Partial<ReportedValues>; incomplete?: CardContext['incomplete'] } = {},
) {
  const context: CardContext = { atMs: 0, holders, computeHolders, incomplete };
  return reportCard(2, 'amd', identity, meter(values), reading, context);
}
const rows = (...of: Parameters<typeof report>) =>
  report(...of).processes.map(({ pid, bytes, utilization }) => [pid, bytes, utilization]);

describe('processes of a card', () => {
  it('are those that hold memory or have used it; one that only has it open is none', () => {
    const [idle, busy] = [use(0), use(30)];
    expect(
      rows([holder(5, [100, idle]), holder(6, [0, idle]), holder(7, [0, busy]), holder(8, [0, use(0, true)])]),
    ).toEqual([
      [5, 100, 0],
      [7, 0, 30],
      [8, 0, 0],
    ]);
    expect(rows([holder(5, [0, idle], [0, null])])).toEqual([[5, 0, null]]);
    expect(report([holder(5, [1, idle])]).processes[0]?.device).toBe(2);
  });

  it('hold what their clients hold together, not known where one does not say it', () => {
    const [one] = rows([holder(5, [100, use(0)], [20, use(0)])]);
    expect(one).toEqual([5, 120, 0]);
    expect(rows([holder(5, [100, use(0)], [null, use(0)])])).toEqual([[5, null, 0]]);
    expect(rows([holder(5)])).toEqual([[5, null, 0]]);
  });

  it('are counted once where two interfaces show them: the larger figure, or the only one', () => {
    const both = (drawn: number | null, bytes: number | null) =>
      rows([holder(5, [drawn, use(1)])], [{ pid: 5, bytes }]);
    expect([both(100, 300), both(300, 100), both(null, 7), both(7, null), both(null, null)]).toEqual(
      [300, 300, 7, 7, null].map((bytes) => [[5, bytes, 1]]),
    );
    expect(rows([holder(5, [1, use(1)])], [{ pid: 9, bytes: 4 }])).toEqual([
      [5, 1, 1],
      [9, 4, null],
    ]);
  });
});

describe('what a process does on a card', () => {
  const reasonOf = (made: ReturnType<typeof report>) =>
    made.gpu.reasons['workers.gpus.utilizationPercent']?.name ?? null;

  it('is not known without an earlier reading, nor of compute queues, whose time is not counted; the reason is said', () => {
    const compute: readonly ComputeHolder[] = [{ pid: 5, bytes: 4 }];
    const cases = [
      report([holder(5, [1, null]), holder(6, [1, use(9)])]),
      report([holder(6, [1, use(9)])], compute),
      report([holder(5, [1, use(0)])], compute),
      report([holder(5, [1, use(0)], [1, use(7)])], compute),
      report([holder(5, [1, use(0, true)])], compute),
      report([holder(5, [1, use(0)])], [{ pid: 5, bytes: 0 }]),
      report([holder(5, [1, use(0)])], [{ pid: 5, bytes: null }]),
    ];
    expect(cases.map((made) => made.processes.map(({ utilization }) => utilization))).toEqual([
      [null, 9],
      [9, null],
      [null],
      [7],
      [0],
      [0],
      [0],
    ]);
    expect(cases.map(reasonOf)).toEqual(['notReady', 'notSupported', 'notSupported', null, null, null, null]);
    // The first reason counts.
    expect(reasonOf(report([holder(5, [1, null])], [{ pid: 9, bytes: 4 }]))).toBe('notReady');
  });

  it('is what the card does where it is the only one on it and all are known', () => {
    const compute: readonly ComputeHolder[] = [{ pid: 5, bytes: 4 }];
    const values = { utilizationPercent: 80 };
    const only = report([], compute, { values });
    expect(only.processes).toEqual([{ device: 2, pid: 5, bytes: 4, utilization: 80 }]);
    expect(reasonOf(only)).toBeNull();
    const two = report([], [...compute, { pid: 6, bytes: 4 }], { values });
    const hidden = report([], compute, { values, incomplete: gpuReason('noPermission') });
    const unknown = report([], compute);
    for (const made of [two, hidden, unknown]) {
      expect(made.processes.every(({ utilization }) => utilization === null)).toBe(true);
      expect(reasonOf(made)).toBe('notSupported');
    }
    expect(rows([holder(5, [1, use(10)])], [], { values })).toEqual([[5, 1, 10]]);
    expect(rows([], [], { values })).toEqual([]);
  });
});

describe('a card', () => {
  it('is named by vendor and place, and says where processes may be missing', () => {
    const incomplete = gpuReason('noPermission');
    const names = {
      index: 2,
      uuid: `amd-${pdev}`,
      busId: pdev,
      parentUuid: '',
      name: 'card',
      computeCapability: 'gfx1100',
    };
    expect(report([]).gpu).toEqual({
      ...names,
      unifiedMemory: false,
      unreachable: null,
      values: {},
      reasons: {},
      problems: [],
      processesKnown: true,
    });
    expect(report([], [], { incomplete }).gpu).toMatchObject({
      reasons: { processCount: incomplete },
      processesKnown: false,
    });
  });

  it('that sleeps is not read, and one that cannot be read has neither figures nor processes', () => {
    const context: CardContext = { atMs: 0, holders: [holder(5, [1, use(1)])], computeHolders: [], incomplete: null };
    const made = (each: CardReading | null) => reportCard(0, 'amd', identity, meter({ powerWatts: 5 }), each, context);
    const sleeping = made(null);
    expect(sleeping.processes).toEqual([]);
    expect(sleeping.gpu).toMatchObject({ name: 'amd GPU 1002:744C', values: {}, computeCapability: '', reasons: {} });
    expect(sleeping.gpu.unreachable?.name).toBe('suspended');
    const lost = Object.assign(new CardReading(new Map(), []), {});
    Object.defineProperty(lost, 'unreachable', { value: gpuReason('lost') });
    expect(made(lost)).toMatchObject({ processes: [], gpu: { values: {}, unreachable: { name: 'lost' } } });
  });
});

describe('processes of ROCm', () => {
  const { EACCES, ENOENT } = constants.errno;
  const kfdRoot = '/sys/class/kfd/kfd';
  const location = (bus: number) => bus << 8;

  class Rocm {
    readonly tree = new MemoryTree();
    readonly clock = new ManualClock();
    readonly kfd = new Kfd(
      new GuardedReader({
        open: () => this.tree.reader(this.clock),
        clock: this.clock,
        fault: (message) => ({ source: 'gpu', code: 'X', message }),
      }),
      '/sys',
    );

    node(name: number, id: string, bus: number, more = 'simd_count 8\ncpu_cores_count 0\n'): this {
      const at = `${kfdRoot}/topology/nodes/${name}`;
      this.tree.write(`${at}/gpu_id`, `${id}\n`);
      this.tree.write(`${at}/properties`, `${more}location_id ${location(bus)}\ndomain 0\ngfx_target_version 110000\n`);
      return this;
    }

    process(pid: number, vram: Readonly<Record<string, string>>): this {
      for (const [id, bytes] of Object.entries(vram)) this.tree.write(`${kfdRoot}/proc/${pid}/${id}`, `${bytes}\n`);
      this.tree.write(`${kfdRoot}/proc/${pid}/pasid`, '32769\n');
      return this;
    }

    async read() {
      const { byPlace, incomplete } = await this.kfd.read();
      const plain = [...byPlace].map(([place, holders]) => [place, holders.map(({ pid, bytes }) => [pid, bytes])]);
      return [Object.fromEntries(plain), incomplete?.name ?? null];
    }
  }

  it('are listed by card with the memory that each holds there, partitions of a card together', async () => {
    const rocm = new Rocm()
      .node(0, '0', 0, 'simd_count 0\ncpu_cores_count 64\n')
      .node(1, '111', 3)
      .node(2, '222', 3)
      .node(3, '333', 7);
    rocm.process(20, { vram_111: '5', vram_222: '6', vram_333: '7', vram_999: '8', vram_x: '9' });
    rocm.process(9, { vram_111: 'x', vram_222: '1', vram_333: '99999999999999999999' });
    expect(await rocm.read()).toEqual([
      {
        '0000:03:00.0': [
          [9, null],
          [20, 11],
        ],
        '0000:07:00.0': [
          [9, null],
          [20, 7],
        ],
      },
      null,
    ]);
    expect(rocm.kfd.nodeAt('0000:07:00.0')).toEqual({ pdev: '0000:07:00.0', target: 'gfx1100', hasCores: false });
    expect(rocm.kfd.nodeAt('0000:08:00.0')).toBeUndefined();
  });

  it('are none, which is known, on a kernel without KFD, and where no process uses it', async () => {
    expect(await new Rocm().read()).toEqual([{}, null]);
    expect(await new Rocm().node(1, '111', 3).read()).toEqual([{}, null]);
  });

  it.each([
    ['the topology', `${kfdRoot}/topology/nodes`, {}],
    ['the list of processes', `${kfdRoot}/proc`, {}],
    ['the files of one process', `${kfdRoot}/proc/20`, { '0000:03:00.0': [[21, 6]] }],
  ])('may be missing where %s cannot be read', async (_title, path, found) => {
    const rocm = new Rocm().node(1, '111', 3).process(20, { vram_111: '5' }).process(21, { vram_111: '6' });
    rocm.tree.listErrors.set(path, EACCES);
    expect(await rocm.read()).toEqual([found, 'noPermission']);
    rocm.tree.listErrors.clear();
    expect(await rocm.read()).toEqual([
      {
        '0000:03:00.0': [
          [20, 5],
          [21, 6],
        ],
      },
      null,
    ]);
  });

  it('that ended meanwhile are none, and memory that cannot be read is not known', async () => {
    const rocm = new Rocm().node(1, '111', 3).process(20, { vram_111: '5' }).process(21, { vram_111: '6' });
    rocm.tree.errors.set(`${kfdRoot}/proc/20/vram_111`, ENOENT);
    rocm.tree.errors.set(`${kfdRoot}/proc/21/vram_111`, EACCES);
    expect(await rocm.read()).toEqual([{ '0000:03:00.0': [[21, null]] }, null]);
    rocm.tree.listErrors.set(`${kfdRoot}/proc/22`, ENOENT);
    rocm.process(22, { vram_111: '7' });
    expect(await rocm.read()).toEqual([{ '0000:03:00.0': [[21, null]] }, null]);
  });

  it('are looked for at each pass; cards, and files of a process that is known, at each tenth', async () => {
    const rocm = new Rocm().node(1, '111', 3).node(3, '333', 9).process(20, { vram_111: '5' });
    await rocm.read();
    rocm.node(2, '222', 7).process(20, { vram_333: '6' }).process(21, { vram_111: '7', vram_222: '8' });
    const card = {
      '0000:03:00.0': [
        [20, 5],
        [21, 7],
      ],
    };
    for (let pass = 1; pass < 10; pass += 1) expect([pass, await rocm.read()]).toEqual([pass, [card, null]]);
    const all = { ...card, '0000:07:00.0': [[21, 8]], '0000:09:00.0': [[20, 6]] };
    expect(await rocm.read()).toEqual([all, null]);
    // A pid that ends and comes again has other files.
    for (const path of [...rocm.tree.files.keys()]) if (path.includes('/proc/20/')) rocm.tree.files.delete(path);
    rocm.tree.directories.delete(`${kfdRoot}/proc/20`);
    const without = { '0000:03:00.0': [[21, 7]], '0000:07:00.0': [[21, 8]] };
    expect(await rocm.read()).toEqual([without, null]);
    rocm.process(20, { vram_222: '9' });
    expect(await rocm.read()).toEqual([
      {
        ...without,
        '0000:07:00.0': [
          [20, 9],
          [21, 8],
        ],
      },
      null,
    ]);
  });

  it('are of nodes that have a number and properties, and of no other', async () => {
    const rocm = new Rocm().node(1, 'x', 3).node(2, '222', 5).node(3, '333', 7);
    rocm.process(20, { vram_222: '5', vram_333: '6' });
    rocm.tree.files.delete(`${kfdRoot}/topology/nodes/2/properties`);
    expect(await rocm.read()).toEqual([{ '0000:07:00.0': [[20, 6]] }, null]);
    expect(rocm.kfd.nodeAt('0000:03:00.0')).toBeUndefined();
    const none = new Rocm();
    none.tree.listErrors.set(`${kfdRoot}/proc`, EACCES);
    expect(await none.read()).toEqual([{}, null]);
  });

  it('of cards that were known stay where the topology cannot be read any more, which is said', async () => {
    const rocm = new Rocm().node(1, '111', 3).process(20, { vram_111: '5' });
    await rocm.read();
    rocm.tree.listErrors.set(`${kfdRoot}/topology/nodes`, EACCES);
    for (let pass = 1; pass < 10; pass += 1) await rocm.read();
    expect(await rocm.read()).toEqual([{ '0000:03:00.0': [[20, 5]] }, 'noPermission']);
    rocm.tree.listErrors.clear();
    expect(await rocm.read()).toEqual([{ '0000:03:00.0': [[20, 5]] }, null]);
  });

  it.each([
    ['simd_count 8\nlocation_id 768', { pdev: '0000:03:00.0', target: '', hasCores: false }],
    ['simd_count 8\ncpu_cores_count 4\nlocation_id 51711\ndomain 65535', { pdev: 'ffff:c9:1f.7', hasCores: true }],
    ['simd_count 8\nlocation_id 16778240\ngfx_target_version 90402', { pdev: '0000:04:00.0', target: 'gfx942' }],
    ['simd_count 8\ngfx_target_version 10000', { pdev: '0000:00:00.0', target: 'gfx100' }],
    ['simd_count 8\ngfx_target_version 9999', { target: '' }],
    ['simd_count 8\ngfx_target_version 999999', { target: 'gfx999963' }],
    ['simd_count 8\ngfx_target_version 1000000', { target: '' }],
    ['  simd_count 8  \n gfx_target_version 110001 ', { target: 'gfx1101' }],
    ['x simd_count 8', null],
    ['simd_count 8 x', null],
    ['simd_count  8', null],
    ['simd_count 0', null],
    ['', null],
  ])('a node of %j', (text, expected) => {
    const node = parseKfdNode(text);
    if (expected === null) expect(node).toBeNull();
    else expect(node).toMatchObject(expected);
  });
});
