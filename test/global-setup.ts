import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Builds what is older than its sources, so that a bare `vitest` run works as well as `npm test`; the fake driver too. */
export default function setup(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.js', import.meta.url)), '--if-needed'], {
    stdio: 'inherit',
  });
  if (process.platform === 'linux') {
    const fakes = fileURLToPath(new URL('fakes', import.meta.url));
    // One at a time: a second run would meet half-written objects of the first.
    execFileSync('flock', [fakes, 'make', '-s', '-C', fakes], { stdio: 'inherit' });
  }
}
