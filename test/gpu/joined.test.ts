import { afterEach, describe, expect, it, vi } from 'vitest';
import type { GpuReading } from '../../lib/gpu/reading.js';
import { createGpuSource, type GpuSourceOptions, joinReadings } from '../../lib/gpu/source.js';
import type { GpuReader, GpuReaderOptions, GpuVendor, VendorReading } from '../../lib/gpu/vendor.js';

const reading = (status: GpuReading['status'], over: Partial<GpuReading> = {}): GpuReading => ({
  reader: 'none',
  reason: null,
  ageMs: null,
  status,
  devices: [],
  processes: [],
  faults: [],
  ...over,
});
const device = { uuid: 'GPU-0' } as GpuReading['devices'][number];
const fault = { source: 'gpu', code: 'X', message: 'X' };

describe('what readers of several vendors say together', () => {
  it('is what one says where there is no other, or the others have no driver here', () => {
    const [one, two] = [reading('stalled', { reason: 'no answer' }), reading('absent', { reason: 'no driver' })];
    expect(joinReadings([one])).toBe(one);
    expect(joinReadings([two, one])).toBe(one);
    expect(joinReadings([two, reading('absent')])).toBe(two);
    expect(joinReadings([])).toMatchObject({ status: 'absent', reader: 'none', reason: null, ageMs: null });
  });

  it('is all GPUs, processes and faults, every reason and reader once, and the age of the older answer', () => {
    const of = (pid: number) => ({ gpuUuid: 'GPU-0', pid, memoryUsedBytes: 1, utilizationPercent: null });
    const one = reading('working', {
      reader: 'nvml',
      ageMs: 5,
      devices: [device],
      processes: [of(1)],
      faults: [fault],
    });
    const two = reading('working', { reader: 'drm', ageMs: 9, reason: 'a', devices: [device], processes: [of(2)] });
    const three = reading('working', { reader: 'nvml', ageMs: 2, reason: 'b', faults: [fault] });
    expect(joinReadings([one, two, three])).toEqual({
      status: 'working',
      reader: 'nvml',
      readers: ['nvml', 'drm'],
      reason: 'a; b',
      ageMs: 9,
      devices: [device, device],
      processes: [of(1), of(2)],
      faults: [fault, fault],
    });
  });

  it('names no readers where all are read by one, and no reason or age where there is none', () => {
    const joined = joinReadings([reading('working', { reader: 'nvml' }), reading('initializing')]);
    expect(joined).toMatchObject({ reader: 'nvml', reason: null, ageMs: null });
    expect(joined).not.toHaveProperty('readers');
    expect(joinReadings([reading('failed'), reading('stalled')]).reader).toBe('none');
  });

  it.each([
    [['working', 0], ['stalled', 0], 'stalled'],
    [['working', 0], ['stalled', 1], 'working'],
    [['working', 1], ['failed', 0], 'failed'],
    [['working', 1], ['failed', 1], 'working'],
    [['failed', 1], ['stalled', 1], 'stalled'],
    [['failed', 1], ['initializing', 0], 'failed'],
    [['failed', 0], ['initializing', 0], 'failed'],
    [['released', 0], ['working', 1], 'released'],
    [['off', 0], ['working', 1], 'working'],
  ] as const)('is of %j and %j (with so many GPUs known): %s', (one, two, status) => {
    const of = ([each, known]: readonly [GpuReading['status'], number]) =>
      reading(each, { devices: known === 0 ? [] : [device] });
    expect(joinReadings([of(one), of(two)]).status).toBe(status);
    expect(joinReadings([of(two), of(one)]).status).toBe(status);
  });
});

/** A vendor whose reader counts what is asked of it. */
class Counted implements GpuVendor, GpuReader {
  readonly name = 'One';
  reading: VendorReading = { status: 'absent', reader: 'none', reason: null, faults: [] };
  reads = 0;
  readonly calls: string[] = [];
  options: GpuReaderOptions = {};
  refusal: Error | null = null;
  open = (options: GpuReaderOptions) => {
    this.options = options;
    return this;
  };
  check = async () => null;
  read = () => {
    this.reads += 1;
    return this.reading;
  };
  takeEvents = () => [];
  release = async () => {
    this.calls.push('release');
    if (this.refusal !== null) throw this.refusal;
  };
  resume = () => void this.calls.push('resume');
  close = () => void this.calls.push('close');

  /** Reads since the last call. */
  since(): number {
    const { reads } = this;
    this.reads = 0;
    return reads;
  }
}

const works: VendorReading = {
  status: 'working',
  reader: 'none',
  reason: null,
  at: 0,
  report: { unlisted: null, devices: [], processes: [] },
};

describe('a source of GPU readings', () => {
  afterEach(() => void vi.useRealTimers());

  function sourceOf(changes: Partial<GpuSourceOptions> = {}, ...more: readonly Counted[]) {
    vi.useFakeTimers();
    const vendor = new Counted();
    const clock = { now: 1000 };
    const source = createGpuSource({
      vendors: [vendor, ...more],
      now: () => clock.now,
      times: { tickMs: 10 },
      ...changes,
    });
    return { vendor, clock, source, [Symbol.dispose]: () => source.close() };
  }

  it('is released for more than 0 s and at most a day, and not once it is closed', async () => {
    using made = sourceOf();
    const { source, vendor } = made;
    for (const seconds of [0, -1, 86_401, Number.NaN])
      await expect(source.release(seconds)).rejects.toMatchObject({ code: 'INVALID_OPTION', subject: 'seconds' });
    expect(vendor.calls).toEqual([]);
    await source.release(0.5);
    await source.release(86_400);
    source.close();
    await expect(source.release(1)).rejects.toMatchObject({ code: 'CLOSED', subject: 'gpu' });
    source.close();
    expect(vendor.calls).toEqual(['release', 'release', 'close']);
    vendor.since();
    source.latest();
    vi.advanceTimersByTime(1000);
    expect(vendor.since()).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a driver that cannot be let go of is taken up again, and the caller learns it', async () => {
    using made = sourceOf();
    const { source, vendor } = made;
    vendor.reading = works;
    vendor.refusal = new Error('held');
    await expect(source.release(10)).rejects.toThrow('held');
    expect(vendor.calls).toEqual(['release', 'resume']);
    vi.advanceTimersByTime(80);
    expect(source.latest().status).toBe('working');
  });

  it('says for how long its driver is released, and takes it up when that is over, once', async () => {
    using made = sourceOf();
    const { source, vendor, clock } = made;
    vendor.reading = works;
    await source.release(10);
    vendor.since();
    clock.now += 8_500;
    expect(source.latest()).toMatchObject({ status: 'released', reason: 'released for another 2 s' });
    clock.now += 1_499;
    expect(source.latest().reason).toBe('released for another 1 s');
    expect(vendor.since()).toBe(0);
    clock.now += 1;
    expect(source.latest().status).toBe('working');
    source.latest();
    expect(vendor.calls).toEqual(['release', 'resume']);
  });

  it('looks again soon once a reading shows a driver, and where one of two has none', () => {
    const other = new Counted();
    using made = sourceOf({}, other);
    const { source, vendor } = made;
    vi.advanceTimersByTime(79);
    expect(vendor.since()).toBe(1);
    other.reading = works;
    vi.advanceTimersByTime(1);
    expect(vendor.since()).toBe(1);
    vi.advanceTimersByTime(30);
    expect(vendor.since()).toBe(3);
    // A reading that is asked for is a look, and puts off none.
    vi.advanceTimersByTime(6);
    source.latest();
    expect(vendor.since()).toBe(1);
    vi.advanceTimersByTime(4);
    expect(vendor.since()).toBe(1);
    other.reading = vendor.reading;
    source.latest();
    vendor.since();
    vi.advanceTimersByTime(79);
    expect(vendor.since()).toBe(0);
    vi.advanceTimersByTime(1);
    expect(vendor.since()).toBe(1);
    expect(vi.getTimerCount()).toBe(1);
  });

  it('gives its readers the clock, and processes that they share', () => {
    using made = sourceOf({ allGpus: true });
    expect(made.vendor.options).toMatchObject({ allGpus: true, drmProcesses: expect.anything() });
    expect(made.source.takeEvents()).toEqual([]);
    vi.useRealTimers();
    const vendor = new Counted();
    vendor.reading = works;
    const plain = createGpuSource({ vendors: [vendor] });
    expect(plain.latest().ageMs).toBeGreaterThan(0);
    plain.close();
  });

  it.each([
    ['intervalMs', 0],
    ['times.tickMs', 0],
    ['env', 'PATH=/'],
    ['env', null],
    ['logger', 7],
    ['drmProcesses', 'none'],
    ['roots.sys', 7],
    ['vendors', {}],
    ['now', 5],
    ['fallback', 'yes'],
  ])('refuses %s of %j, and says which', (name, value) => {
    const [first = '', second] = name.split('.');
    const options = { [first]: second === undefined ? value : { [second]: value } } as GpuSourceOptions;
    expect(() => createGpuSource(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', subject: name }));
  });

  it('that is switched off says so, and opens no reader', () => {
    using made = sourceOf({ gpu: 'none' });
    const reason = 'they are not read: switched off (gpu: none)';
    expect(made.source.latest()).toMatchObject({ status: 'off', reason });
    expect(made.vendor.reads).toBe(0);
  });

  it('on a system without a reader says so', () => {
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'darwin' });
    try {
      expect(createGpuSource().latest().reason).toBe('there is no GPU reader for darwin');
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
    }
  });
});
