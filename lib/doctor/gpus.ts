import type { GpuReading } from '../gpu/reading.js';
import type { GpuFinding } from '../gpu/vendor.js';
import { gpuVendors } from '../gpu/vendors.js';
import { causeOfHealth, causes } from '../present/severity.js';
import { gpuHealthStyles, styleOf } from '../present/status.js';
import { type Finding, fail, ok, warn } from './finding.js';
import { allowed, exists, type Host, list, realPath, textOf } from './host.js';

/** Cards, drivers and readers of every vendor; a host without any GPU is no worse for it. */
export async function checkGpus(host: Host): Promise<Finding[]> {
  const found = await Promise.all(
    gpuVendors.map((vendor) =>
      vendor.check({
        uid: host.uid,
        text: (path) => textOf(host, path),
        exists: (path) => exists(host, path),
        list: (path) => list(host, path),
        writable: (path) => allowed(host, path, 'write'),
        realPath: (path) => realPath(host, path),
        run: host.run,
        readGpus: (timeoutMs) => host.readGpus(timeoutMs, vendor),
      }),
    ),
  );
  const findings = found.flatMap((each) => each ?? []);
  if (findings.length > 0) return findings.flatMap((each) => [findingOf(each), ...unhealthy(each.reading)]);
  const names = gpuVendors
    .map(({ name }) => name)
    .join(', ')
    .replace(/, (\w+)$/, ' or $1');
  return [ok('gpu', `There is no ${names} GPU here; CPU, memory and I/O are still watched.`)];
}

function findingOf({ check, status, message, fix }: GpuFinding): Finding {
  return status === 'ok' ? ok(check, message) : (status === 'warn' ? warn : fail)(check, message, fix);
}

function unhealthy(reading: GpuReading | undefined): Finding[] {
  const sick = reading?.devices.filter(({ health }) => health !== 'ok' && health !== 'suspended') ?? [];
  return sick.map(({ index, health }) => {
    const style = styleOf(gpuHealthStyles, health);
    const cause = causeOfHealth(health);
    const make = cause !== null && causes[cause].severity === 'critical' ? fail : warn;
    return make('gpuHealth', `GPU ${index}: ${style.word}.`, style.hint);
  });
}
