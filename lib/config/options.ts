import type { Logger } from 'pino';
import type { ReaderChoice } from '../cgroup/reader.js';
import type { Labels } from '../contract/primitives.js';

/** What everything that is opened gives back. `close` may be called twice; both calls resolve when it has ended. */
export interface Running extends AsyncDisposable {
  readonly url: string;
  close(): Promise<void>;
}

/** Which reader of GPUs: `auto` is NVML, else nvidia-smi, else none. */
export type GpuChoice = 'auto' | 'nvml' | 'nvidia-smi' | 'none';

/** Everything has a default (`defaults.ts`). Each field is described, with unit and trade-off, in `config.ts`. */
export interface HiveOptions {
  readonly id?: string;
  /** Queens to send to, `http://host:port`; empty: only sample and serve. */
  readonly queens?: readonly string[];
  /** Publish to the queens through NATS; `queens` are then used only where NATS is out of reach. */
  readonly nats?: NatsOptions;
  readonly token?: string;
  /** PEM files for TLS to the queen. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly labels?: Labels;
  readonly address?: string;
  readonly intervalMs?: number;
  /** Where the hive itself serves; port 0: the kernel's choice. */
  readonly host?: string;
  readonly port?: number;
  readonly insecure?: boolean;
  /** cgroup v2 root; found in mountinfo where it is not given. */
  readonly root?: string;
  readonly procRoot?: string;
  readonly watch?: readonly string[];
  /** Watch containers, engines and GPU holders (default true). */
  readonly auto?: boolean;
  readonly gpu?: GpuChoice;
  readonly gpuIsolation?: 'process' | 'thread';
  readonly reader?: ReaderChoice;
  readonly idleBelowPercent?: number;
  readonly idleBelowCpuPercent?: number;
  readonly idleForMs?: number;
  /** Where `run` leaves the records of workers; `/run/hivepulse`, else `$XDG_RUNTIME_DIR/hivepulse`. */
  readonly runtimeDir?: string;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

/** How to reach the NATS servers that the queens of a fleet share. */
export interface NatsOptions {
  /** `nats://host:4222` or `tls://host:4222`, of one cluster. */
  readonly servers: readonly string[];
  /** A credentials file as `nsc` writes it. */
  readonly credentialsFile?: string;
  /** PEM files. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Copies of what must last: 1, 3 or 5, no more than the cluster has servers. Default 1. */
  readonly replicas?: number;
}

export interface QueenOptions {
  readonly host?: string;
  readonly port?: number;
  readonly insecure?: boolean;
  /** Tokens with roles: a file of lines `role token [hive]`, read again on SIGHUP. */
  readonly tokensFile?: string;
  /** Tokens given directly. */
  readonly tokens?: readonly TokenGrant[];
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** Directory for reservations; none: they are lost at a restart. */
  readonly state?: string;
  readonly staleAfterMs?: number;
  readonly warmingMs?: number;
  readonly eventRingSize?: number;
  readonly maxHives?: number;
  readonly maxWorkersPerHive?: number;
  readonly maxHeartbeatBytes?: number;
  /** Names besides loopback under which a browser or proxy may ask a queen that listens on loopback. */
  readonly allowedHosts?: readonly string[];
  /** Requests per second that one token (or, without tokens, one address) may make; heartbeats are counted per hive. */
  readonly requestsPerSecond?: number;
  /** Open event streams at one time. */
  readonly maxStreams?: number;
  /** Workers that have series of their own at /metrics; 0: none. */
  readonly metricsWorkers?: number;
  /** None: one queen, in memory. */
  readonly nats?: NatsOptions;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

export type Role = 'hive' | 'read' | 'schedule' | 'admin';

export interface TokenGrant {
  readonly token: string;
  readonly role: Role;
  /** A hive token that may speak for this hive alone. */
  readonly hive?: string;
}
