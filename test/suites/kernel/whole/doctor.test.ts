import { expect, it } from 'vitest';
import { useHarness } from '../../../harness/harness.js';
import { runDoctor } from '../doctor-run.js';

const harness = useHarness();

it('doctor: a host with cgroup v2 and all controllers is sound', async () => {
  const { code, findings } = await runDoctor(harness);
  for (const check of ['kernel', 'cgroup', 'controllers', 'rights', 'pressure', 'addon'])
    expect(
      findings.filter((finding) => finding.check === check).map(({ status }) => status),
      check,
    ).toEqual(['ok']);
  expect(findings.filter(({ status }) => status === 'fail')).toEqual([]);
  expect(code).toBe(0);
}, 400_000);
