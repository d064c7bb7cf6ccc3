import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

function isPackage(directory: string): boolean {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')).name === 'hivepulse';
  } catch {
    return false;
  }
}

/** The directory of this package, given where this module lies and how `hivepulse/package.json` is resolved from there. */
export function findPackageRoot(moduleDirectory: string, resolve: (request: string) => string): string {
  const above = join(moduleDirectory, '..');
  if (isPackage(above)) return above;
  // Bundled into somebody's program: the addon, the threads' entry files and the page are still in node_modules.
  try {
    return dirname(resolve('hivepulse/package.json'));
  } catch {
    return above;
  }
}

/** From lib/ as from dist/; for a bundle, the installed package that is resolved from the bundle's place. */
export const packageRoot = findPackageRoot(dirname(fileURLToPath(import.meta.url)), require.resolve);
