import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../util/package-root.js';

/** The C library that binaries are chosen by; told as node-gyp-build tells it for the addon, so that all are of one kind. */
export function libc(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.LIBC ?? (existsSync('/etc/alpine-release') ? 'musl' : 'glibc');
}

const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/**
 * An executable of this package: as built here, else as shipped (for this C library, else for all); null: neither is there.
 * `HIVEPULSE_PREBUILD` names a directory whose `build/` comes first, as node-gyp-build does it for the addon.
 */
export function findExecutable(
  name: string,
  root: string = packageRoot,
  environment: NodeJS.ProcessEnv = process.env,
): string | null {
  const shipped = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const other = environment.HIVEPULSE_PREBUILD;
  const candidates = [
    ...(other ? [join(other, 'build/Release', name)] : []),
    join(root, 'build/Release', name),
    join(shipped, `${name}.${libc(environment)}`),
    join(shipped, name),
  ];
  return candidates.find(executable) ?? null;
}
