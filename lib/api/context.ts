import type { Bus } from '../cluster/bus.js';
import type { TokenTable } from '../http/auth.js';
import type { FailedTokens } from '../http/failed-tokens.js';
import type { HeartbeatIntake } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';
import type { Limiter } from '../util/rate-limiter.js';
import type { StreamHub } from './stream-hub.js';

/** What routes need; made once per queen. */
export interface ServerContext {
  readonly registry: Registry;
  readonly hub: StreamHub;
  readonly tokens: TokenTable;
  readonly failed: FailedTokens;
  readonly intake: HeartbeatIntake;
  /** Of one token, or of one address where there are no tokens. Heartbeats do not count. */
  readonly requestsPerSecond: number;
  /** Time of the event loop that callers have taken, ms. */
  readonly time: Limiter;
  /** Served over TLS, so cookies are only sent there. */
  readonly secure: boolean;
  /** What this queen shares with others. */
  readonly bus: Bus;
}
