/** Heartbeats by what became of them, since the queen started. */
export class HeartbeatCounts {
  accepted = 0;
  /** By the code of the problem that was the answer. */
  readonly refused = new Map<string, number>();

  refuse(code: string): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }
}
