/** `hivepulse doctor` as it is run, on a kernel with all controllers, and on the same one made broken. */
import { expect, it } from 'vitest';
import type { Finding } from '../../../lib/doctor/finding.js';
import { useHarness } from '../../harness/harness.js';

const harness = useHarness();

/** Its findings, and how it ended. An emulated CPU takes a minute for it. */
async function doctor(under: readonly string[] = []): Promise<{ code: number | string; findings: readonly Finding[] }> {
  const process = harness().cli(['doctor', '--json'], { under });
  const code = await process.ended(300_000);
  // Warnings, if any, stand before the document.
  const lines = process.lines.slice(process.lines.indexOf('{'));
  const { findings } = JSON.parse(lines.join('\n')) as { findings: readonly Finding[] };
  return { code, findings };
}

const statusOf = (findings: readonly Finding[], check: string) =>
  findings.filter((finding) => finding.check === check).map(({ status }) => status);

it('doctor: a host with cgroup v2 and all controllers is sound', async () => {
  const { code, findings } = await doctor();
  for (const check of ['kernel', 'cgroup', 'controllers', 'rights', 'pressure', 'addon'])
    expect(statusOf(findings, check), check).toEqual(['ok']);
  expect(findings.filter(({ status }) => status === 'fail')).toEqual([]);
  expect(code).toBe(0);
}, 400_000);

it('doctor: without a cgroup mount it fails, says how to mount one, and ends with 1', async () => {
  const unmounted = 'umount -a -l -t cgroup,cgroup2 && exec "$@"';
  const { code, findings } = await doctor(['unshare', '-m', 'sh', '-c', unmounted, 'sh']);
  expect(findings.find(({ check }) => check === 'cgroup')).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('mount -t cgroup2'),
  });
  expect(code).toBe(1);
}, 400_000);
