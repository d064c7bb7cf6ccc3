import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../util/package-root.js';

/** The C library by which binaries are chosen, found as node-gyp-build finds it for the addon. */
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
 * An executable of this package: as built here, else as shipped (for this C library, else for all); null: there is none.
 * `HIVEPULSE_PREBUILD` names a directory whose `build/` comes first, as for the addon.
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
