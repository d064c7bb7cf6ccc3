import { amd } from '../../../lib/gpu/amd/vendor.js';
import { intel } from '../../../lib/gpu/intel/vendor.js';
import type { GpuReading, GpuSource } from '../../../lib/gpu/reading.js';
import { createGpuSource, type GpuSourceOptions } from '../../../lib/gpu/source.js';
import { waitFor } from '../../harness/wait.js';
import type { FakeDrmHost } from './fake-host.js';

export interface DrmSource extends Disposable {
  readonly source: GpuSource;
  /** A reading that began after `ms` more had passed on its clock. */
  next(ms?: number): Promise<GpuReading>;
}

/** AMD's and Intel's readers on a fixture, with a clock that stands until a pass is asked for. */
export function drmSource(host: FakeDrmHost, options: Partial<GpuSourceOptions> = {}): DrmSource {
  let now = 1000;
  const source = createGpuSource({
    vendors: [amd, intel],
    roots: host.roots,
    intervalMs: 1000,
    isPid: (pid) => pid >= 1 && pid <= 2 ** 22,
    now: () => now,
    times: { tickMs: 100_000 },
    ...options,
  });
  let began = false;
  return {
    source,
    async next(ms = 1000) {
      if (began) now += ms;
      began = true;
      // No vendor's answer is older than this moment.
      const isNew = ({ status, ageMs }: GpuReading) =>
        status !== 'initializing' && (status !== 'working' || ageMs === 0);
      return await waitFor(
        () => {
          const latest = source.latest();
          return isNew(latest) ? latest : undefined;
        },
        { what: 'a pass over the cards' },
      );
    },
    [Symbol.dispose]: () => source.close(),
  };
}
