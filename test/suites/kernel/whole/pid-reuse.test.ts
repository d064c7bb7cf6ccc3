import { writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { processLives } from '../../../../lib/procfs/process-stat.js';
import { waitFor } from '../../../harness/wait.js';
import { useWorkerBench } from '../../../harness/worker-suite.js';

const bench = useWorkerBench();

it('pid reuse: a record whose pid now belongs to another process is not a worker that lives', async () => {
  const first = await bench().sh('exec sleep 600');
  await bench().monitor.stop(first.id);
  // The kernel gives the next pid after this one.
  const second = await waitFor(
    async () => {
      await writeFile('/proc/sys/kernel/ns_last_pid', String(first.pid - 1));
      const worker = await bench().sh('exec sleep 600', { group: 'other' });
      if (worker.pid === first.pid) return worker;
      await bench().monitor.stop(worker.id);
      return null;
    },
    { timeoutMs: 60_000, what: 'the pid to be given again' },
  );
  expect(second.record.startTicks).not.toBe(first.record.startTicks);
  expect(await bench().monitor.isAlive(first.record)).toBe(false);
  expect(await bench().monitor.isAlive({ ...first.record, cgroup: null, owner: 'none' })).toBe(false);
  await expect(bench().monitor.stop(first.id)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' });
  expect(await processLives(second.pid, second.record.startTicks)).toBe(true);
});
