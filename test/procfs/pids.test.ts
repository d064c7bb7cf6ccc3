import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pidCheck } from '../../lib/procfs/pids.js';

describe('pids', () => {
  it('of a host are whole numbers from 1 to its pid_max', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 301, max: 2 ** 22 }),
        fc.oneof(fc.integer(), fc.double(), fc.maxSafeInteger()),
        (max, pid) => {
          const isPid = pidCheck(
            () => max,
            () => 0,
          );
          expect(isPid(pid)).toBe(Number.isInteger(pid) && pid >= 1 && pid <= max);
          expect([isPid(0), isPid(max), isPid(max + 1), isPid(2 ** 32 - 1)]).toEqual([false, true, false, false]);
        },
      ),
    );
  });

  it('above what was read are looked up again, since pid_max may be raised; at most each second', () => {
    let [max, reads, now] = [32_768, 0, 0];
    const isPid = pidCheck(
      () => {
        reads++;
        return max;
      },
      () => now,
    );
    expect([isPid(100), isPid(40_000)]).toEqual([true, false]);
    max = 4_194_304;
    expect([isPid(40_000), reads]).toEqual([false, 1]);
    now = 1000;
    expect([isPid(40_000), isPid(50_000), reads]).toEqual([true, true, 2]);
  });

  it.each([Number.NaN, 0, 2 ** 40])('are judged by the most that a kernel allows where pid_max says %s', (said) => {
    const isPid = pidCheck(() => said);
    expect([isPid(2 ** 22), isPid(2 ** 22 + 1)]).toEqual([true, false]);
  });

  it('are judged by the most that a kernel allows where there is no /proc', () => {
    const isPid = pidCheck(() => {
      throw new Error('ENOENT');
    });
    expect([isPid(2 ** 22), isPid(2 ** 22 + 1)]).toEqual([true, false]);
  });
});
