import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { HivepulseError } from '../util/errors.js';
import type { UnitProperty } from './limits.js';

/** UNIT_NAME_MAX of systemd, without the terminating zero. */
const maxUnitName = 255;
const prefix = 'hivepulse';
const plain = /^[A-Za-z0-9:_.]$/;

/**
 * One part of a unit name as systemd-escape writes it: what is not `A-Za-z0-9:_.` becomes `\xNN`, a leading dot as well.
 * A dash too, since in the name of a slice it means nesting.
 */
export function escapeUnitPart(text: string): string {
  let escaped = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const character = String.fromCharCode(byte);
    const keep = plain.test(character) && !(escaped === '' && character === '.');
    escaped += keep ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return escaped;
}

export interface UnitNames {
  /** `hivepulse-<group>.slice` */
  readonly slice: string;
  /** `hivepulse-<group>-<instance>.scope` */
  readonly scope: string;
  /** Path of the scope's cgroup below the manager's own: `hivepulse.slice/hivepulse-<group>.slice/...`. */
  readonly path: string;
}

/** The units of a worker. Throws INVALID_OPTION where the name is too long for systemd. */
export function unitNames(group: string, instance: string): UnitNames {
  const slice = `${prefix}-${escapeUnitPart(group)}.slice`;
  const scope = `${prefix}-${escapeUnitPart(group)}-${escapeUnitPart(instance)}.scope`;
  if (Math.max(slice.length, scope.length) > maxUnitName) {
    throw new HivepulseError(
      'INVALID_OPTION',
      '--instance',
      `The unit name ${scope.slice(0, 40)}... would have ${scope.length} characters; systemd takes ${maxUnitName}. Shorten --group or --instance (- @ + count four each).`,
    );
  }
  return { slice, scope, path: `${prefix}.slice/${slice}/${scope}` };
}

export type SystemdManager = 'system' | 'user';

/**
 * The manager through which we may start scopes: the system's as root, else the user's; null where systemd is not the
 * running init (sd_booted(3)), or no manager of ours answers, with the reason.
 */
export async function findManager(
  uid: number,
  environment: NodeJS.ProcessEnv,
  exists: (path: string) => Promise<boolean> = (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
): Promise<{ readonly manager: SystemdManager | null; readonly booted: boolean; readonly reason: string }> {
  if (!(await exists('/run/systemd/system'))) {
    return { manager: null, booted: false, reason: 'systemd is not the init of this host' };
  }
  if (uid === 0) return { manager: 'system', booted: true, reason: 'root' };
  const runtime = environment.XDG_RUNTIME_DIR;
  const sockets = runtime ? [join(runtime, 'systemd/private'), join(runtime, 'bus')] : [];
  for (const socket of sockets) if (await exists(socket)) return { manager: 'user', booted: true, reason: socket };
  return {
    manager: null,
    booted: true,
    reason: `user ${uid} has no systemd manager running (${runtime ? `no ${sockets[0]}` : 'XDG_RUNTIME_DIR is not set'})`,
  };
}

/** What comes before the command so that systemd starts it in a scope of its own: `systemd-run --scope ... --`. */
export function scopeArguments(
  manager: SystemdManager,
  names: UnitNames,
  description: string,
  properties: readonly UnitProperty[],
): readonly string[] {
  return [
    'systemd-run',
    ...(manager === 'user' ? ['--user'] : []),
    '--scope',
    '--quiet',
    '--collect',
    `--unit=${names.scope}`,
    `--slice=${names.slice}`,
    // systemd replaces % specifiers in descriptions.
    `--description=${description.replaceAll('%', '%%')}`,
    ...properties.map(({ setting }) => `--property=${setting}`),
    '--',
  ];
}
