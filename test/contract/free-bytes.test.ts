import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuHealths } from '../../lib/contract/enums.js';
import { freeBytes } from '../../lib/contract/free-bytes.js';

const GiB = 1024 ** 3;
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 5 });
const bytes = fc.integer({ min: 0, max: 512 * GiB });
const gpu = fc.record({
  memoryTotalBytes: maybe(bytes),
  memoryUsedBytes: maybe(bytes),
  memoryReservedBytes: maybe(fc.integer({ min: 0, max: 4 * GiB })),
});

describe('room on a GPU', () => {
  it.each([
    ['a GPU of another size than the usual', 15, 3, 1, 11],
    ['reserved VRAM is not free', 80, 0, 2, 78],
    ['used VRAM is not free', 141, 100, 0.5, 40.5],
    ['never below nothing', 16, 15.5, 1, 0],
  ])('%s', (_, total, used, reserved, free) => {
    const [memoryTotalBytes, memoryUsedBytes, memoryReservedBytes] = [total * GiB, used * GiB, reserved * GiB];
    const one = { memoryTotalBytes, memoryUsedBytes, memoryReservedBytes, memoryKind: 'device' as const, health: 'ok' };
    expect(freeBytes(one, { memoryAvailableBytes: 1 })).toBe(free * GiB);
  });

  it('is total less used less reserved, whatever the host has', () => {
    fc.assert(
      fc.property(gpu, maybe(bytes), (given, memoryAvailableBytes) => {
        const { memoryTotalBytes: total, memoryUsedBytes: used, memoryReservedBytes: reserved } = given;
        const free = freeBytes({ ...given, memoryKind: 'device', health: 'ok' }, { memoryAvailableBytes });
        if (total === null || used === null) expect(free).toBeNull();
        else expect(free).toBe(Math.max(0, total - used - (reserved ?? 0)));
      }),
    );
  });

  it('of a GPU that gives no answer is not known, whatever the host has left', () => {
    const blank = { memoryTotalBytes: null, memoryUsedBytes: null, memoryReservedBytes: null } as const;
    for (const health of gpuHealths)
      for (const memoryKind of ['device', 'unified'] as const) {
        const isRead = memoryKind === 'unified' && (health === 'ok' || health === 'degraded');
        const free = freeBytes({ ...blank, memoryKind, health }, { memoryAvailableBytes: GiB });
        expect(free, `${memoryKind} ${health}`).toBe(isRead ? GiB : null);
      }
  });

  it('on unified memory is never more than the host has left', () => {
    fc.assert(
      fc.property(gpu, bytes, (given, memoryAvailableBytes) => {
        const device = freeBytes({ ...given, memoryKind: 'device', health: 'ok' }, { memoryAvailableBytes });
        const unified = freeBytes({ ...given, memoryKind: 'unified', health: 'degraded' }, { memoryAvailableBytes });
        expect(unified).toBe(Math.min(memoryAvailableBytes, device ?? memoryAvailableBytes));
      }),
    );
  });
});
