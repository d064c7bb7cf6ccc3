import { existsSync } from 'node:fs';
import { sweep } from '../../harness/leftovers.js';

/**
 * Removes what runs that were killed have left behind. All is built by test/suites/kernel/main.js. Not in the virtual machine,
 * which sees directories of the host and none of its processes.
 */
export function setup(): void {
  if (existsSync('/run/vm')) return;
  for (const what of sweep()) console.log(`left behind by a test run that was killed, removed: ${what}`);
}
