import { join } from 'node:path';
import { packageRoot } from './package-root.js';

/**
 * The file a worker thread starts from. A thread can only run JavaScript, and a bundler does not follow it: it is always
 * the built file of the package, given relative to dist/.
 */
export function workerEntry(file: string): string {
  return join(packageRoot, 'dist', file);
}
