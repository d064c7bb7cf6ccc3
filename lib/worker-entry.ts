import { fileURLToPath } from 'node:url';

/**
 * The file a worker thread starts from, beside the module that asks. A thread can only run JavaScript: asked from the
 * TypeScript sources (tests, benchmarks) it is the built file under dist/.
 */
export function workerEntry(moduleUrl: string, file: string): string {
  const path = fileURLToPath(new URL(file, moduleUrl));
  if (!moduleUrl.split('?')[0]?.endsWith('.ts')) return path;
  const lib = path.lastIndexOf('/lib/');
  return `${path.slice(0, lib)}/dist/${path.slice(lib + '/lib/'.length)}`;
}
