/** Every so often a hive sends a whole heartbeat, whatever has changed. */
const everyMs = 60_000;
/**
 * Bytes of keyframes a second that are asked for: some 50 of hives of 8 workers, 2 % of a core. A fleet of more than 3,000 of
 * them takes longer than a minute to go through, 10,000 some 200 s; what differs comes with each heartbeat all the same.
 */
const bytesPerSecond = 128 * 1024;
/** Connections that one look goes through: some of thousands are due. */
const looksAtOnce = 1000;

/** A connection that a hive sends heartbeats over. */
export interface KeyframeSource {
  /** When its last keyframe came, or was asked for. Null: it has sent none yet. */
  readonly keyframeAtMs: number | null;
  /** Of its last one, as it came. */
  readonly keyframeBytes: number;
  askForKeyframe(nowMs: number): void;
}

/** Asks hives for whole heartbeats, one after the other, no faster than the queen bears. */
export class KeyframeRounds {
  readonly #open: ReadonlySet<KeyframeSource>;
  #next: Iterator<KeyframeSource>;
  #room = 0;
  #lookedAtMs: number;

  constructor(open: ReadonlySet<KeyframeSource>, nowMs: number) {
    this.#open = open;
    this.#next = open.values();
    this.#lookedAtMs = nowMs;
  }

  /** Asks those whose turn it is. */
  look(nowMs: number): void {
    const more = ((nowMs - this.#lookedAtMs) / 1000) * bytesPerSecond;
    this.#lookedAtMs = nowMs;
    this.#room = Math.min(bytesPerSecond, this.#room + more);
    for (let looks = Math.min(looksAtOnce, this.#open.size); looks > 0 && this.#room > 0; looks--) {
      const source = this.#following();
      if (source === null) return;
      if (source.keyframeAtMs === null || nowMs - source.keyframeAtMs < everyMs) continue;
      source.askForKeyframe(nowMs);
      this.#room -= source.keyframeBytes;
    }
  }

  #following(): KeyframeSource | null {
    let next = this.#next.next();
    if (next.done) {
      this.#next = this.#open.values();
      next = this.#next.next();
    }
    return next.done ? null : next.value;
  }
}
