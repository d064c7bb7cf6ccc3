import type { RefusedHeartbeat } from '../queen/intake.js';
import { Limiter } from '../util/rate-limiter.js';

interface WarnLog {
  warn(fields: object, message: string): void;
}

/** That two hives have one id is logged once a minute, not at each of their heartbeats. */
export class DuplicateIds {
  readonly #due = new Limiter({ perSecond: 1 / 60, burst: 1 });

  refused({ code, hive, message }: RefusedHeartbeat, log: WarnLog | undefined, address: string | undefined): void {
    if (code !== 'DUPLICATE_HIVE_ID' || hive === null || this.#due.take(hive) > 0) return;
    log?.warn({ code, hive, address }, message);
  }
}
