import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { delegateScope } from './harness/delegated-scope.js';
import { sweep } from './harness/leftovers.js';

/**
 * Builds what is older than its sources, so that a bare `vitest` run works as well as `npm test`; the fake driver too.
 * Before that it removes what runs that were killed have left behind.
 */
export default async function setup(): Promise<(() => void) | undefined> {
  for (const what of sweep()) console.log(`left behind by a test run that was killed, removed: ${what}`);
  execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.js', import.meta.url)), '--if-needed'], {
    stdio: 'inherit',
  });
  if (process.platform === 'linux') {
    const fakes = fileURLToPath(new URL('fakes', import.meta.url));
    // One at a time: a second run would meet half-written objects of the first.
    execFileSync('flock', [fakes, 'make', '-s', '-C', fakes], { stdio: 'inherit' });
  }
  return (await delegateScope()) ?? undefined;
}
