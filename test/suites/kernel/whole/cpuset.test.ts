import { expect, it } from 'vitest';
import { textOf, useWorkerBench } from '../../../harness/worker-suite.js';

const bench = useWorkerBench();

it('cpuset: it may run on these CPUs alone', async () => {
  const worker = await bench().sh('grep Cpus_allowed_list /proc/self/status', { cpuset: '0' });
  expect(worker.notApplied).toEqual([]);
  expect(await textOf(worker.stdout)).toBe('Cpus_allowed_list:\t0\n');
});

it('cpuset: CPUs that this host lacks would mean all of them: reported as not applied', async () => {
  const worker = await bench()
    .sh('exec sleep 600', { cpuset: '4000' })
    .catch((error) => error);
  // The kernel may refuse a CPU that is not possible at all, or take it and run on the parent's.
  if (worker.code === 'INVALID_OPTION') expect(worker.subject).toBe('--cpuset');
  else expect(worker.notApplied).toMatchObject([{ name: 'cpuset', code: 'LIMIT_NOT_APPLIED' }]);
});

it('a value that the kernel refuses is an error that names the flag, and nothing is left', async () => {
  // A quota of its own may be far above what the parent has; a cpuset list beyond the kernel's bound may not.
  await expect(bench().sh('true', { cpuset: '8191' })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    subject: '--cpuset',
  });
  expect(await bench().leftovers()).toEqual([]);
});
