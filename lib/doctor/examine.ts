import {
  checkCgroup,
  checkControllers,
  checkKernel,
  checkPressure,
  checkRights,
  checkSystemd,
  locate,
} from './cgroups.js';
import { type Finding, ok, warn } from './finding.js';
import { checkGpus } from './gpus.js';
import type { Host } from './host.js';
import { checkPlace } from './place.js';
import { checkAddon, checkClock, checkDescriptors, checkPidNamespace, checkProc } from './system.js';

/** All checks of a host, in the order in which one would fix them. Never throws: a check that fails itself is a finding. */
export async function examine(host: Host): Promise<Finding[]> {
  if (host.platform !== 'linux') {
    return [
      warn(
        'platform',
        `${host.platform} has no cgroups: processes are watched through what the system reports.`,
        'run it on Linux',
      ),
      await checkAddon(host),
    ];
  }
  const place = locate(host);
  const checks: readonly (readonly [string, () => Promise<readonly (Finding | null)[]>])[] = [
    ['platform', async () => [ok('platform', `Linux on ${host.arch}.`), checkKernel(host)]],
    ['place', async () => [checkPlace(host, place)]],
    ['cgroup', async () => [checkCgroup(place), checkControllers(place), checkRights(host, place)]],
    ['systemd', async () => [checkSystemd(host, place)]],
    ['pressure', async () => [checkPressure(host)]],
    ['pidNamespace', async () => [checkPidNamespace(host), checkProc(host)]],
    ['descriptors', async () => [checkDescriptors(host)]],
    ['addon', async () => [await checkAddon(host)]],
    ['gpu', () => checkGpus(host)],
    ['clock', async () => [await checkClock(host)]],
  ];
  // Side by side: each may wait for a tool or a driver.
  const findings = await Promise.all(
    checks.map(([name, run]) =>
      run().catch((error: unknown) => [
        warn(
          name,
          `This check failed itself: ${error instanceof Error ? error.message : String(error)}`,
          'report it as a bug',
        ),
      ]),
    ),
  );
  return findings.flat().filter((finding) => finding !== null);
}
