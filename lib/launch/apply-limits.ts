import { existsSync } from 'node:fs';
import { readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HivepulseError, systemCode } from '../util/errors.js';
import { writeControl } from './cgroup-tree.js';
import {
  type Limits,
  type LimitWrite,
  limitFlags,
  limitWrites,
  type NotApplied,
  notApplied,
  parseCpuList,
} from './limits.js';

/** Errors of a write that mean that we have not the right, whoever has. */
export const isDenied = (error: unknown): boolean => ['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error) ?? '');

/** `major:minor` of the whole disk behind a device: io.max answers ENODEV for a partition. */
async function diskNumber(device: string): Promise<string> {
  const number = device.startsWith('/')
    ? await stat(device).then(
        ({ rdev, mode }) =>
          (mode & 0o170000) === 0o060000 ? `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}` : null,
        () => null,
      )
    : device;
  if (number === null)
    throw new HivepulseError('INVALID_OPTION', limitFlags.io, `--io: ${device} is not a block device of this host.`);
  const disk = await readlink(`/sys/dev/block/${number}`).catch(() => null);
  if (disk === null)
    throw new HivepulseError('INVALID_OPTION', limitFlags.io, `--io: this host has no block device ${number}.`);
  const partition = await stat(`/sys/dev/block/${number}/partition`).catch(() => null);
  return partition === null ? number : (await readFile(`/sys/dev/block/${number}/../dev`, 'utf8')).trim();
}

/** The writes for `limits`, devices looked up. Throws INVALID_OPTION for a device that this host lacks. */
export async function writesFor(limits: Limits): Promise<readonly LimitWrite[]> {
  const numbers = new Map<string, string>();
  for (const { device } of limits.io) numbers.set(device, await diskNumber(device));
  return limitWrites(limits, (device) => numbers.get(device) as string);
}

/** Applies limits to a cgroup of ours. A controller that is not here is reported; a value that the kernel refuses is an error. */
export async function applyLimits(
  dir: string,
  writes: readonly LimitWrite[],
  missing: ReadonlyMap<string, string>,
): Promise<readonly NotApplied[]> {
  const failures: NotApplied[] = [];
  for (const { name, controller, file, value } of writes) {
    try {
      await writeControl(join(dir, file), value);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') {
        failures.push(notApplied(name, missing.get(controller) ?? `this kernel has no ${file} here`));
      } else if (isDenied(error)) {
        failures.push(notApplied(name, `${join(dir, file)} may not be written (${code})`));
      } else {
        const message = `${limitFlags[name]}: the kernel refuses the value for ${file} (${code ?? String(error)}).`;
        throw new HivepulseError('INVALID_OPTION', limitFlags[name], message, { cause: error });
      }
    }
  }
  return failures;
}

/** Whether the kernel holds what was asked: it rounds sizes down to pages, and runs a cpuset it cannot satisfy on its parent's. */
export function limitHolds(write: LimitWrite, held: string): boolean {
  const text = held.trim();
  if (write.file === 'cpuset.cpus') {
    const asked = parseCpuList(write.value);
    const got = parseCpuList(text);
    return asked !== null && got !== null && asked.join() === got.join();
  }
  if (write.file === 'io.max') {
    const [device, ...settings] = write.value.split(' ');
    const line = text.split('\n').find((row) => row.startsWith(`${device} `)) ?? '';
    return settings.every((setting) => line.split(' ').includes(setting) || (line === '' && setting.endsWith('=max')));
  }
  if (write.file === 'cpu.max') {
    const [quota, period] = write.value.split(' ');
    const [heldQuota, heldPeriod] = text.split(' ');
    if (quota === 'max' || heldQuota === 'max') return quota === heldQuota;
    // systemd keeps hundredths of a percent.
    const asked = Number(quota) / Number(period);
    return Math.abs(Number(heldQuota) / Number(heldPeriod) - asked) <= Math.max(0.0001, asked * 0.001);
  }
  if (write.value === 'max' || text === 'max') return write.value === text;
  return Number(text) <= Number(write.value) && Number(write.value) - Number(text) < 65_536;
}

/** Reads every limit back, since a manager or the kernel may have taken it and not hold it. */
export async function verifyLimits(
  dir: string,
  writes: readonly LimitWrite[],
  hint: (write: LimitWrite) => string,
): Promise<readonly NotApplied[]> {
  const failures: NotApplied[] = [];
  for (const write of writes) {
    const file = write.file === 'cpuset.cpus' ? 'cpuset.cpus.effective' : write.file;
    try {
      const held = await readFile(join(dir, file), 'utf8');
      if (!limitHolds(write, held))
        failures.push(notApplied(write.name, `${file} holds "${held.trim()}" instead of "${write.value}"`));
    } catch (error) {
      // It has ended already: nothing is held, and nothing was refused.
      if (systemCode(error) === 'ENODEV' || !existsSync(dir)) return failures;
      failures.push(notApplied(write.name, hint(write)));
    }
  }
  return failures;
}
