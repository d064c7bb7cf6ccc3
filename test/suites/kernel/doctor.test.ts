import { expect, it } from 'vitest';
import { useHarness } from '../../harness/harness.js';
import { runDoctor } from './doctor-run.js';

const harness = useHarness();

it('doctor: without a cgroup mount it fails, says how to mount one, and ends with 1', async () => {
  const unmounted = 'umount -a -l -t cgroup,cgroup2 && exec "$@"';
  const { code, findings } = await runDoctor(harness, ['unshare', '-m', 'sh', '-c', unmounted, 'sh']);
  expect(findings.find(({ check }) => check === 'cgroup')).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('mount -t cgroup2'),
  });
  expect(code).toBe(1);
}, 400_000);
