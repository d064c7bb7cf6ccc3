import type { GpuReading, GpuSource } from '../../../lib/gpu/reading.js';
import { createGpuSource, type GpuSourceOptions } from '../../../lib/gpu/source.js';
import { type FakeGpuHost, fakeNvidiaSmi } from '../../fakes/scenario.js';
import { waitFor } from '../../harness/wait.js';

/** A source that looks at the fake machine, with times short enough for tests. */
export function sourceOf(host: FakeGpuHost, options: GpuSourceOptions = {}): GpuSource & Disposable {
  const source = createGpuSource({
    env: { ...process.env, ...host.env },
    intervalMs: 100,
    isolation: 'process',
    // Whatever the pid_max of the machine that runs the tests.
    isPid: (pid) => pid >= 1 && pid <= 2 ** 22,
    ...options,
    paths: { nvidiaSmi: fakeNvidiaSmi, procDriver: host.procDriver, ...options.paths },
    times: { stalledMs: 1000, slowIntervalMs: 200, retryMs: 100, tickMs: 20, killAfterMs: 1500, ...options.times },
  });
  return Object.assign(source, { [Symbol.dispose]: () => source.close() });
}

/** The first reading for which `accept` holds. */
export async function reading(
  source: GpuSource,
  accept: (reading: GpuReading) => boolean,
  timeoutMs = 10_000,
): Promise<GpuReading> {
  try {
    return await waitFor(
      () => {
        const latest = source.latest();
        return accept(latest) ? latest : undefined;
      },
      { timeoutMs, what: 'a GPU reading' },
    );
  } catch (error) {
    throw new Error(`no such reading; the last: ${JSON.stringify(source.latest()).slice(0, 800)}`, { cause: error });
  }
}

export const working = (reader: GpuReading['reader']) => (latest: GpuReading) =>
  latest.status === 'working' && latest.reader === reader;
