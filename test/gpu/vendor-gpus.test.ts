import { describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../lib/contract/heartbeat.js';
import { GpuEvents } from '../../lib/gpu/events.js';
import type { GpuDevice, GpuEvent } from '../../lib/gpu/reading.js';
import { type GpuReasonName, gpuReason, isUnsupported } from '../../lib/gpu/reasons.js';
import type { GpuReport, ReportedGpu } from '../../lib/gpu/report.js';
import type { VendorReading } from '../../lib/gpu/vendor.js';
import { VendorGpus } from '../../lib/gpu/vendor-gpus.js';
import { reportedGpu } from './reported-gpu.js';

const gpu = (index: number, changes: Partial<ReportedGpu> = {}): ReportedGpu =>
  reportedGpu(index, { values: { memoryTotalBytes: 100 }, ...changes });

type Silent = Exclude<VendorReading['status'], 'working'>;

/** A vendor's GPUs whose reader says what the test wants. */
class Fleet {
  reading: VendorReading = { status: 'initializing', reader: 'none', reason: null, faults: [] };
  events: GpuEvent[] = [];
  readonly logged: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  readonly gpus: VendorGpus;

  constructor(options: ConstructorParameters<typeof VendorGpus>[1] = {}) {
    const at = (level: string) => (fields: object | string, message?: string) =>
      void this.logged.push({ level, fields: fields as object, message: String(message) });
    const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), fatal: at('fatal') };
    const reader = {
      read: () => this.reading,
      takeEvents: () => this.events.splice(0),
      release: async () => undefined,
      resume: () => undefined,
      close: () => undefined,
    };
    this.gpus = new VendorGpus(() => reader, { logger, ...options });
  }

  answer(devices: readonly ReportedGpu[], at = 1000, over: Partial<GpuReport> = {}): this {
    const report = { unlisted: null, devices, processes: [], ...over };
    this.reading = { status: 'working', reader: 'nvml', reason: null, at, report };
    return this.update();
  }

  silent(status: Silent, faults: readonly Fault[] = []): this {
    this.reading = { status, reader: 'nvml', reason: `it is ${status}`, faults };
    return this.update();
  }

  update(): this {
    this.gpus.update();
    return this;
  }

  latest(nowMs = 1000) {
    return this.gpus.reading(nowMs);
  }
}

const fault = (code: string): Fault => ({ source: 'gpu', code, message: code });

describe('GPUs of a vendor whose reader gives no answer', () => {
  it('are not known before the first answer, and the reader has said nothing yet', () => {
    const { gpus } = new Fleet();
    const nothing = { reader: 'none', reason: null, ageMs: null, devices: [], processes: [], faults: [] };
    expect(gpus.reading(5)).toEqual({ status: 'initializing', ...nothing });
    expect(gpus.isAbsent).toBe(false);
  });

  it.each([
    ['absent', [], 'initializing', null],
    ['initializing', [], 'initializing', null],
    ['stalled', [], 'stalled', 500],
    ['stalled', ['NO_PERMISSION'], 'stalled', 500],
    ['failed', [], 'stalled', 500],
    ['failed', ['TIMEOUT', 'X'], 'stalled', 500],
    ['failed', ['TIMEOUT', 'NO_PERMISSION'], 'noPermission', 500],
  ] as const)('are known by name while it is %s with %j: %s, and the last answer is of %s ms ago', (...row) => {
    const [status, codes, health, ageMs] = row;
    const fleet = new Fleet().answer([gpu(0)]).silent(status, codes.map(fault));
    const reading = fleet.latest(1500);
    expect(reading).toMatchObject({ status, reader: 'nvml', reason: `it is ${status}`, ageMs, processes: [] });
    expect(reading.faults).toEqual(codes.map(fault));
    expect(reading.devices).toMatchObject([
      { uuid: 'GPU-0', index: 0, name: 'card', health, memoryTotalBytes: null, processesKnown: false },
    ]);
    expect(fleet.gpus.takeEvents()).toEqual([]);
    expect(fleet.gpus.isAbsent).toBe(status === 'absent');
  });

  it('are released on request, which says for how long', () => {
    const fleet = new Fleet().answer([gpu(0)]);
    fleet.gpus.released(7);
    const reading = fleet.latest(9000);
    expect(reading).toMatchObject({
      status: 'released',
      reader: 'none',
      reason: 'released for another 7 s',
      ageMs: null,
    });
    expect(reading.faults).toMatchObject([{ source: 'gpu', code: 'GPU_RELEASED', field: 'gpus' }]);
    expect(reading.devices).toMatchObject([{ uuid: 'GPU-0', health: 'initializing' }]);
  });

  it('answered so long ago as the clock says, and never in the time to come', () => {
    const fleet = new Fleet().answer([gpu(0)], 1000);
    expect([fleet.latest(1000), fleet.latest(1700), fleet.latest(900)].map(({ ageMs }) => ageMs)).toEqual([0, 700, 0]);
  });
});

describe('GPUs that the driver no longer lists', () => {
  it('are lost, each with a fault that says what to do, until they are listed again', () => {
    const fleet = new Fleet().answer([gpu(0), gpu(1)]).answer([gpu(0)]);
    const reading = fleet.latest();
    expect(reading.devices).toMatchObject([
      { uuid: 'GPU-0', health: 'ok' },
      { uuid: 'GPU-1', index: 1, health: 'lost', memoryTotalBytes: null, processesKnown: false },
    ]);
    const message = 'GPU 1: the driver no longer lists it; if it was removed on purpose, restart the hive';
    expect(reading.faults).toEqual([{ source: 'gpu', code: 'GPU_VANISHED', message, gpuUuid: 'GPU-1' }]);
    expect(fleet.gpus.endIndex).toBe(2);
    fleet.answer([gpu(0), gpu(1)]);
    expect(fleet.latest().faults).toEqual([]);
    const events = fleet.gpus.takeEvents();
    expect(events.map(({ kind, gpuUuid }) => [kind, gpuUuid])).toEqual([
      ['gpuLost', 'GPU-1'],
      ['gpuRecovered', 'GPU-1'],
    ]);
    const detail = { index: 1, name: 'card', pciBusId: '0000:01:00.0' };
    expect(events.map((event) => event.detail)).toEqual([
      { ...detail, health: 'lost' },
      { ...detail, health: 'ok' },
    ]);
  });

  it('are no parts of a GPU, which come and go, and none that never had a name', () => {
    const part = gpu(1, { uuid: 'MIG-1', parentUuid: 'GPU-0' });
    const nameless = gpu(2, { uuid: '', busId: '', unreachable: gpuReason('lost') });
    const fleet = new Fleet().answer([gpu(0), part, nameless]).answer([gpu(0)]);
    expect(fleet.latest().devices.map(({ uuid }) => uuid)).toEqual(['GPU-0']);
    expect(fleet.latest().faults).toEqual([]);
  });
});

it('GPUs carry the name of their vendor, and pids are those that the host gives out', () => {
  const fleet = new Fleet({ vendor: 'NVIDIA', isPid: (pid) => pid !== 5 });
  const processes = [5, 6].map((pid) => ({ device: 0, pid, bytes: 1, utilization: null }));
  fleet.answer([gpu(0)], 1000, { processes });
  expect(fleet.latest().devices).toMatchObject([{ vendor: 'NVIDIA' }]);
  expect(fleet.latest().processes.map(({ pid }) => pid)).toEqual([6]);
  // Without another check it is the kernel's.
  const plain = new Fleet().answer([gpu(0)], 1000, {
    processes: [0, process.pid].map((pid) => ({ device: 0, pid, bytes: 1, utilization: null })),
  });
  expect(plain.latest().processes.map(({ pid }) => pid)).toEqual([process.pid]);
  expect(plain.latest().devices[0]).not.toHaveProperty('vendor');
});

it('an answer is judged once, and again where its GPUs have other indexes', () => {
  const report = { unlisted: null, processes: [], devices: [gpu(0)] };
  const judged = vi.fn(() => report.devices);
  const fleet = new Fleet();
  const counted = {
    ...report,
    get devices() {
      return judged();
    },
  };
  fleet.reading = { status: 'working', reader: 'nvml', reason: null, at: 0, report: counted };
  fleet.update();
  const calls = judged.mock.calls.length;
  fleet.update();
  expect(judged.mock.calls.length).toBe(calls);
  fleet.gpus.update(3);
  expect(fleet.latest().devices.map(({ index }) => index)).toEqual([3]);
  expect(fleet.gpus.endIndex).toBe(4);
});

it('the log says once that a reader is in another state: a warning where GPUs are not known', () => {
  const fleet = new Fleet();
  fleet
    .silent('absent')
    .silent('absent')
    .silent('initializing')
    .answer([gpu(0)])
    .answer([gpu(0)]);
  fleet
    .silent('stalled', [fault('A'), fault('B')])
    .silent('stalled')
    .silent('failed');
  fleet.gpus.released(5);
  expect(fleet.logged).toEqual([
    { level: 'info', fields: { gpuReader: 'nvml', reason: 'it is absent', faults: [] }, message: 'GPU reader: absent' },
    {
      level: 'info',
      fields: { gpuReader: 'nvml', reason: 'it is initializing', faults: [] },
      message: 'GPU reader: initializing',
    },
    { level: 'info', fields: { gpuReader: 'nvml', reason: null, faults: [] }, message: 'GPU reader: working' },
    {
      level: 'warn',
      fields: { gpuReader: 'nvml', reason: 'it is stalled', faults: ['A', 'B'] },
      message: 'GPU reader: stalled',
    },
    { level: 'warn', fields: { gpuReader: 'nvml', reason: 'it is failed', faults: [] }, message: 'GPU reader: failed' },
    {
      level: 'warn',
      fields: { gpuReader: 'none', reason: 'released for another 5 s', faults: ['GPU_RELEASED'] },
      message: 'GPU reader: released',
    },
  ]);
});

describe('events of GPUs', () => {
  const device = (over: Partial<GpuDevice>) =>
    ({ uuid: 'GPU-0', index: 4, name: 'card', pciBusId: null, health: 'ok', ...over }) as GpuDevice;
  const xid = (detail: Record<string, unknown>): GpuEvent => ({ kind: 'xid', gpuUuid: 'GPU-0', at: 'now', detail });

  it('are one for each loss and return: a GPU that must be reset is lost as well', () => {
    const events = new GpuEvents();
    events.observe([device({})], 'then');
    expect(events.take()).toEqual([]);
    events.observe([device({ health: 'resetRequired' })], 'then');
    events.observe([device({ health: 'lost' })], 'later');
    const [lost, ...others] = events.take();
    const detail = { index: 4, name: 'card', pciBusId: null, health: 'resetRequired' };
    expect(lost).toEqual({ kind: 'gpuLost', gpuUuid: 'GPU-0', at: 'then', detail });
    expect(others).toEqual([]);
    events.observe([device({ health: 'stalled' })], 'later');
    expect(events.take()).toMatchObject([{ kind: 'gpuRecovered', at: 'later', detail: { health: 'stalled' } }]);
  });

  it('of the driver carry the index where it is known, and the last Xid is kept', () => {
    const events = new GpuEvents();
    events.add(xid({ xid: 31 }));
    expect(events.take()).toEqual([xid({ xid: 31 })]);
    events.observe([device({})], 'then');
    events.add(xid({ xid: 79, text: 'off the bus' }));
    events.add(xid({ xid: 'none' }));
    expect(events.take()).toEqual([xid({ index: 4, xid: 79, text: 'off the bus' }), xid({ index: 4, xid: 'none' })]);
    expect([events.lastXid('GPU-0'), events.lastXid('GPU-1')]).toEqual([79, null]);
  });

  it('of a reader go to its GPUs, which keep their last Xid while it says nothing', () => {
    const fleet = new Fleet().answer([gpu(0), gpu(1)]);
    fleet.events = [xid({ xid: 48 })];
    fleet.update();
    expect(fleet.gpus.takeEvents()).toEqual([xid({ index: 0, xid: 48 })]);
    expect(fleet.latest().devices.map(({ lastXid }) => lastXid)).toEqual([48, null]);
    fleet.silent('stalled');
    expect(fleet.latest().devices.map(({ lastXid }) => lastXid)).toEqual([48, null]);
  });
});

it('what a GPU does not report is another thing than what is not known now', () => {
  const names: readonly GpuReasonName[] = [
    'notSupported',
    'driverTooOld',
    'deprecated',
    'timeout',
    'noPermission',
    'lost',
    'unknown',
  ];
  expect(names.map((name) => isUnsupported(gpuReason(name)))).toEqual([true, true, true, false, false, false, false]);
  expect(gpuReason('timeout', 'no answer; try this')).toEqual({
    name: 'timeout',
    code: 'TIMEOUT',
    text: 'no answer; try this',
  });
});
