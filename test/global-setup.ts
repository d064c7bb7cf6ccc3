import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Builds what is older than its sources, so that a bare `vitest` run works as well as `npm test`. */
export default function setup(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.js', import.meta.url)), '--if-needed'], {
    stdio: 'inherit',
  });
}
