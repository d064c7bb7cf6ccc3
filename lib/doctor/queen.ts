import type { Fleet, Session } from '../contract/api.js';
import { shownUrl } from '../util/shown-url.js';
import { type Finding, fail, ok, warn } from './finding.js';

/** The part of the client that is used. */
export interface QueenCalls {
  fleet(): Promise<Fleet>;
  session(): Promise<Session>;
}

/**
 * Whether the queen answers and lets us in. `given`: somebody named it, so that its silence is a fault; the default
 * address may well be unused.
 */
export async function checkQueen(url: string, calls: QueenCalls, given: boolean): Promise<Finding> {
  try {
    const fleet = await calls.fleet();
    const { required, role } = await calls.session();
    const rights = required ? `as ${role ?? 'nobody'}` : 'without a token';
    const { online, late, offline } = fleet.hives;
    return ok('queen', `${shownUrl(url)} answers ${rights}: ${online} hives online, ${late} late, ${offline} offline.`);
  } catch (error) {
    const status = (error as { status?: unknown }).status;
    const message = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
    if (status === 401 || status === 403) {
      return fail(
        'queen',
        `${shownUrl(url)} refuses access: ${message}.`,
        'set HIVEPULSE_TOKEN or --token-file to a token that is in its tokens file',
      );
    }
    if (!given) {
      return warn(
        'queen',
        `No queen at ${shownUrl(url)} (${message}).`,
        'hivepulse up starts one here; --queen http://host:7833 names another',
      );
    }
    return fail(
      'queen',
      `${message}.`,
      'check that the queen runs and listens there (ss -ltn), and that no firewall is in the way',
    );
  }
}
