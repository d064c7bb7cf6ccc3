/** What the soak and its load process say to each other. */
export type Command =
  | { readonly type: 'mute'; readonly count: number; readonly forMs: number }
  | { readonly type: 'restart'; readonly count: number }
  | { readonly type: 'replace' }
  | { readonly type: 'gpu'; readonly count: number; readonly health: 'stalled' | 'lost'; readonly forMs: number }
  | { readonly type: 'silence' }
  | { readonly type: 'report' }
  | { readonly type: 'end' };

/** An event that a hive has produced: `<hive>#<number>` in its detail. */
export interface Fact {
  readonly mark: string;
  /** Date.now() when its heartbeat was built. */
  readonly producedAt: number;
  /** Date.now() when a queen acknowledged it; null: none has. */
  ackedAt: number | null;
}

export interface Counts {
  readonly hives: number;
  readonly workers: number;
  readonly sent: number;
  readonly accepted: number;
  readonly failed: number;
  /** Events that wait for an acknowledgement. */
  readonly pending: number;
  /** Events that died with the run of their hive, before any queen had them. */
  readonly died: number;
  /** Milliseconds from sending a heartbeat to its answer; a sample of at most 50,000. */
  readonly latencies: readonly number[];
  readonly facts: readonly Fact[];
}

export type Report = { readonly type: 'ready' } | ({ readonly type: 'counts' } & Counts);
