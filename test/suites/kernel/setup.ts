import { existsSync } from 'node:fs';
import { delegateScope } from '../../harness/delegated-scope.js';
import { sweep } from '../../harness/leftovers.js';

/**
 * Removes what runs that were killed have left behind. All is built by test/suites/kernel/main.js. Not in the virtual machine,
 * which sees directories of the host and none of its processes.
 */
export async function setup(): Promise<(() => void) | undefined> {
  if (!existsSync('/run/vm'))
    for (const what of sweep()) console.log(`left behind by a test run that was killed, removed: ${what}`);
  return (await delegateScope()) ?? undefined;
}
