import { sweep } from '../harness/leftovers.js';

/** Removes what runs that were killed have left behind. All is built by scripts/test-cgroup.js. */
export function setup(): void {
  for (const what of sweep()) console.log(`left behind by a test run that was killed, removed: ${what}`);
}
