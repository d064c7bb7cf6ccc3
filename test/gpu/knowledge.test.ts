import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../lib/contract/heartbeat.js';
import { gpuKnowledge } from '../../lib/gpu/knowledge.js';
import { type GpuReading, noGpuSource } from '../../lib/gpu/reading.js';

const reading = (over: Partial<GpuReading>): GpuReading => ({
  reader: 'none',
  reason: null,
  ageMs: null,
  status: 'working',
  devices: [],
  processes: [],
  faults: [],
  ...over,
});
const device = { uuid: 'GPU-0' } as GpuReading['devices'][number];
const fault = (message: string, over: Partial<Fault> = {}): Fault => ({ source: 'gpu', code: 'X', message, ...over });

describe('whether the GPUs of a host are known', () => {
  it('each situation without a GPU has a sentence of its own, and only a driver that is not there or lists none means none', () => {
    const situations = [
      noGpuSource('they are not read: switched off (gpu: none)').latest(),
      reading({ status: 'absent', reason: 'nvml: not there' }),
      reading({ status: 'initializing' }),
      reading({ status: 'stalled', faults: [fault('no answer for 12 s')] }),
      reading({ status: 'failed', faults: [fault('Driver Not Loaded (9).')] }),
      reading({ status: 'released' }),
      reading({ faults: [fault('the driver does not list its GPUs', { field: 'gpus' })] }),
      reading({}),
    ].map(gpuKnowledge);
    expect(situations.map(({ gpusKnown }) => gpusKnown)).toEqual([
      'unknown',
      'none',
      'unknown',
      'unknown',
      'unknown',
      'unknown',
      'unknown',
      'none',
    ]);
    expect(new Set(situations.map(({ gpusReason }) => gpusReason)).size).toBe(situations.length);
    expect(situations[4]?.gpusReason).toBe('Driver Not Loaded (9)');
  });

  it('is known where the driver answers with GPUs; not while it gives no answer, whatever was known before', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('working', 'absent', 'off', 'initializing', 'stalled', 'failed', 'released'),
        fc.boolean(),
        fc.array(fc.record({ message: fc.string({ maxLength: 2000 }), field: fc.constantFrom('gpus', 'host') })),
        (status, some, faults) => {
          const found = gpuKnowledge(
            reading({ status, devices: some ? [device] : [], faults: faults.map((each) => fault(each.message, each)) }),
          );
          expect(found.gpusKnown === 'known').toBe(status === 'working' && some);
          if (found.gpusKnown === 'none') expect(['working', 'absent']).toContain(status);
          expect(found.gpusReason === null).toBe(found.gpusKnown === 'known');
          expect(found.gpusReason?.length ?? 0).toBeLessThanOrEqual(512);
        },
      ),
    );
  });

  it('the reason is the fault that belongs to no one GPU, on one line without the full stop at its end', () => {
    const faults = [fault('GPU 0: hot', { gpuUuid: 'GPU-0' }), fault(' cannot be\n  read: v1.2\t of libx. ')];
    expect(gpuKnowledge(reading({ status: 'failed', faults }))).toEqual({
      gpusKnown: 'unknown',
      gpusReason: 'cannot be read: v1.2 of libx',
    });
    const message = 'x'.repeat(600);
    expect(gpuKnowledge(reading({ status: 'failed', faults: [fault(message)] })).gpusReason).toBe('x'.repeat(512));
  });

  it('where nobody looks the reason is why, whatever faults there are; where none is listed, only a fault of the list', () => {
    const faults = [fault('another', { field: 'host' })];
    expect(gpuKnowledge(reading({ status: 'off', faults }))).toEqual({
      gpusKnown: 'unknown',
      gpusReason: 'they are not read',
    });
    expect(gpuKnowledge(reading({ faults }))).toEqual({ gpusKnown: 'none', gpusReason: 'the driver lists no GPU' });
  });

  it('a host without a reader says so, and its source has no events and can be released and closed', async () => {
    const source = noGpuSource('no reader for this system');
    const nothing = { devices: [], processes: [], faults: [], ageMs: null, reader: 'none' };
    expect(source.latest()).toEqual({ status: 'off', reason: 'no reader for this system', ...nothing });
    expect(source.takeEvents()).toEqual([]);
    await expect(source.release(1)).resolves.toBeUndefined();
    expect(() => source.close()).not.toThrow();
  });
});
