import { Limiter } from '../util/rate-limiter.js';
import { ProblemError } from './problem.js';

/** Of one address: 10 at once, then one a second. */
const failures = { perSecond: 1, burst: 10 };

/** Wrong tokens, however they were sent. Only who is wrong waits: behind one address there may be others whose tokens are right. */
export class FailedTokens {
  readonly #failed = new Limiter(failures);

  /** What a wrong token is answered with. */
  refuse(address: string, message: string, field?: string): ProblemError {
    const wait = this.#failed.take(address);
    return wait > 0
      ? new ProblemError('RATE_LIMITED', 'Too many wrong tokens.', { retryAfterSeconds: wait })
      : new ProblemError('UNAUTHENTICATED', message, { field });
  }
}
