import { afterEach, expect, it } from 'vitest';
import type { RunningSampler } from '../../../../lib/sampling/create.js';
import { createSampler } from '../../../../lib/sampling/open.js';
import { waitFor } from '../../../harness/wait.js';
import { useWorkerBench } from '../../../harness/worker-suite.js';

const bench = useWorkerBench();
const opened: RunningSampler[] = [];
afterEach(async () => {
  for (const sampler of opened.splice(0)) await sampler.close();
});

it.each(['native', 'files'] as const)(
  'collect_reads_cgroup_stats: a worker that is held to a fifth of a CPU waits for it most of the time (%s reader)',
  async (reader) => {
    const places = { root: bench().tree.root, runtimeDir: bench().runtimeDir };
    const collect = await createSampler({ ...places, reader, gpu: 'none', auto: false });
    opened.push(collect);
    const worker = await bench().sh('while :; do :; done', { cpu: '20%' });
    const pressure = await waitFor(
      async () => {
        const { workers } = await collect.sample();
        const seen = workers.find(({ id }) => id === worker.id)?.pressure;
        return (seen?.cpu ?? 0) > 10 ? seen : null;
      },
      // The kernel's own average of ten seconds rises with them.
      { timeoutMs: 60_000, everyMs: 500, what: 'pressure on the CPU' },
    );
    expect(pressure).toMatchObject({ memory: expect.any(Number), io: expect.any(Number) });
  },
);
