import { afterEach, describe, expect, it, vi } from 'vitest';
import { gpuReason } from '../../lib/gpu/reasons.js';
import type { GpuReport, ReportedGpu } from '../../lib/gpu/report.js';
import { createGpuSource } from '../../lib/gpu/source.js';
import type { GpuReader, GpuVendor, VendorReading } from '../../lib/gpu/vendor.js';
import { reportedGpu } from './reported-gpu.js';

const gpu = (index: number, changes: Partial<ReportedGpu> = {}): ReportedGpu =>
  reportedGpu(index, { uuid: `gpu-${index}`, values: { memoryTotalBytes: 100, memoryUsedBytes: 40 }, ...changes });
const working = (devices: readonly ReportedGpu[], processes: GpuReport['processes'] = []): VendorReading => ({
  status: 'working',
  reader: 'none',
  reason: null,
  at: 0,
  report: { unlisted: null, devices, processes },
});
const without = (status: 'absent' | 'initializing' | 'stalled' | 'failed'): VendorReading => ({
  status,
  reader: 'none',
  reason: status,
  faults: status === 'absent' ? [] : [{ source: 'gpu', code: 'X', message: status, field: 'gpus' }],
});

/** A vendor whose reader says what the test wants. */
class FakeVendor implements GpuVendor, GpuReader {
  reading: VendorReading = without('absent');
  released = 0;
  closed = false;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  open = () => this;
  check = async () => null;
  read = () => this.reading;
  takeEvents = () => [];
  release = async () => void this.released++;
  resume = () => void this.released--;
  close = () => {
    this.closed = true;
  };
}

function twoVendors() {
  const [one, two] = [new FakeVendor('One'), new FakeVendor('Two')];
  const clock = { now: 1000 };
  vi.useFakeTimers();
  const source = createGpuSource({ vendors: [one, two], now: () => clock.now, times: { tickMs: 10 } });
  /** A reading after the source has looked, as seldom as that may be. */
  const latest = () => {
    vi.advanceTimersByTime(80);
    return source.latest();
  };
  return { one, two, clock, source, latest, [Symbol.dispose]: () => source.close() };
}

const identities = ({ latest }: ReturnType<typeof twoVendors>) =>
  latest().devices.map(({ index, uuid, health }) => [index, uuid, health]);

describe('GPUs of several vendors on one host', () => {
  afterEach(() => void vi.useRealTimers());

  it('a vendor without a driver adds nothing', () => {
    using vendors = twoVendors();
    expect(vendors.latest()).toMatchObject({ status: 'absent', devices: [], faults: [] });
    vendors.two.reading = working([gpu(0)]);
    expect(vendors.latest()).toMatchObject({ status: 'working', reason: null, faults: [] });
    expect(identities(vendors)).toEqual([[0, 'gpu-0', 'ok']]);
  });

  it('indexes and faults count over the host, and move when the first vendor shows more', () => {
    using vendors = twoVendors();
    const lost = gpu(0, { uuid: 'b', unreachable: gpuReason('lost') });
    vendors.two.reading = working([lost, gpu(1, { uuid: 'c' })], [{ device: 1, pid: 7, bytes: 5, utilization: null }]);
    vendors.one.reading = working([gpu(0)]);
    expect(identities(vendors)).toEqual([
      [0, 'gpu-0', 'ok'],
      [1, 'b', 'lost'],
      [2, 'c', 'ok'],
    ]);
    expect(vendors.latest().faults).toMatchObject([{ message: expect.stringMatching(/^GPU 1: /), gpuUuid: 'b' }]);
    expect(vendors.latest().processes).toMatchObject([{ gpuUuid: 'c', pid: 7, memoryUsedBytes: 5 }]);
    vendors.one.reading = working([gpu(0), gpu(1)]);
    vendors.two.reading = without('stalled');
    expect(identities(vendors)).toEqual([
      [0, 'gpu-0', 'ok'],
      [1, 'gpu-1', 'ok'],
      [2, 'b', 'stalled'],
      [3, 'c', 'stalled'],
    ]);
  });

  it('GPUs without a name of two vendors differ in their uuid', () => {
    using vendors = twoVendors();
    vendors.one.reading = vendors.two.reading = working([gpu(0, { uuid: '', unreachable: gpuReason('lost') })]);
    expect(identities(vendors)).toEqual([
      [0, 'unidentified-0', 'lost'],
      [1, 'unidentified-two-0', 'lost'],
    ]);
  });

  it('a driver that fails costs its own GPUs only, and where they are not known, all', () => {
    using vendors = twoVendors();
    vendors.one.reading = working([gpu(0)]);
    vendors.two.reading = without('failed');
    expect(vendors.latest()).toMatchObject({ status: 'failed', devices: [{ health: 'ok' }] });
    vendors.two.reading = working([gpu(0, { uuid: 'b' })]);
    expect(vendors.latest().status).toBe('working');
    expect(vendors.source.takeEvents()).toEqual([]);
    vendors.two.reading = without('failed');
    expect(vendors.latest()).toMatchObject({ status: 'working', faults: [{ code: 'X' }] });
    expect(vendors.latest().devices[1]).toMatchObject({ uuid: 'b', health: 'stalled', processesKnown: false });
    // A reader that fails is no evidence about a GPU.
    expect(vendors.source.takeEvents()).toEqual([]);
    vendors.two.reading = working([gpu(0, { uuid: 'b' })]);
    expect(vendors.latest().devices[1]).toMatchObject({ uuid: 'b', health: 'ok' });
    expect(vendors.source.takeEvents()).toEqual([]);
  });

  it('a release lets go of every driver, and takes up every one', async () => {
    using vendors = twoVendors();
    vendors.one.reading = working([gpu(0)]);
    await vendors.source.release(10);
    expect([vendors.one.released, vendors.two.released]).toEqual([1, 1]);
    expect(vendors.latest()).toMatchObject({ status: 'released', faults: [{ code: 'GPU_RELEASED' }, {}] });
    vendors.clock.now += 10_000;
    expect(vendors.latest().status).toBe('working');
    expect([vendors.one.released, vendors.two.released]).toEqual([0, 0]);
    vendors.source.close();
    expect(vendors.two.closed).toBe(true);
  });

  it('where there is no driver the source looks eight times more seldom, until there is one', () => {
    vi.useFakeTimers();
    const vendor = new FakeVendor('One');
    let looks = 0;
    vendor.read = () => {
      looks++;
      return vendor.reading;
    };
    using source = Object.assign(createGpuSource({ vendors: [vendor], times: { tickMs: 250 } }), {
      [Symbol.dispose]: () => source.close(),
    });
    const looksIn = (ms: number) => {
      looks = 0;
      vi.advanceTimersByTime(ms);
      return looks;
    };
    expect(looksIn(4000)).toBe(2);
    vendor.reading = working([gpu(0)]);
    // A reading that is asked for is no look there.
    expect(source.latest().status).toBe('absent');
    expect(looksIn(2000)).toBe(1);
    expect(looksIn(4000)).toBe(16);
    expect(source.latest().status).toBe('working');
    vendor.reading = without('absent');
    expect(looksIn(4250)).toBe(3);
  });
});
