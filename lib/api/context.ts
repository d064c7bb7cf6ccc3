import type { Bus } from '../cluster/bus.js';
import type { TokenTable } from '../http/auth.js';
import type { Registry } from '../queen/registry.js';
import type { HeartbeatCounts } from './heartbeat-counts.js';
import type { StreamHub } from './stream-hub.js';

export interface ServerLimits {
  readonly maxHeartbeatBytes: number;
  readonly maxWorkersPerHive: number;
  /** Of one token, or of one address where there are none. */
  readonly requestsPerSecond: number;
  /** Of one hive. */
  readonly heartbeatsPerSecond: number;
  /** Of one token at one address; those that are taken do not count (default 10, ten times as many at once). */
  readonly refusedHeartbeatsPerSecond?: number;
}

/** What routes need; made once per queen. */
export interface ServerContext {
  readonly registry: Registry;
  readonly hub: StreamHub;
  readonly tokens: TokenTable;
  readonly limits: ServerLimits;
  /** Served over TLS, so cookies are only sent there. */
  readonly secure: boolean;
  /** What this queen shares with others. */
  readonly bus: Bus;
  /** Where heartbeats are counted, for those who want to know. */
  readonly heartbeats?: HeartbeatCounts;
}
