/** Values of one hive, worker or GPU from the stream since its history was fetched. Pure; times are ms of one monotonic clock. */
type Values = Readonly<Record<string, number | null>>;

interface Sample {
  /** When its heartbeat was received. */
  readonly at: number;
  readonly values: Values;
}

export interface Point {
  readonly at: number;
  /** null: not known then. */
  readonly value: number | null;
}

const maxSamples = 240;
/** Charts have a point a second at most. */
const spacingMs = 900;

export class LiveSamples {
  #samples: Sample[] = [];

  /** Takes the values of the heartbeat received at `at`; false where that one, or one just before it, is held already. */
  take(at: number, values: Values): boolean {
    const last = this.#samples.at(-1);
    if (last && at - last.at < spacingMs) return false;
    this.#samples.push({ at, values });
    if (this.#samples.length > maxSamples) this.#samples.shift();
    return true;
  }

  /** Forgets the samples up to `at`: the history holds them. */
  forget(at = Number.POSITIVE_INFINITY): void {
    this.#samples = this.#samples.filter((sample) => sample.at > at);
  }

  /**
   * One series, oldest first. Heartbeats further apart than `quietMs` have a null between them, so that no line is drawn
   * over the silence.
   */
  points(name: string, quietMs: number): Point[] {
    const points: Point[] = [];
    let last: number | null = null;
    for (const { at, values } of this.#samples) {
      if (last !== null && at - last > quietMs) points.push({ at: last + spacingMs, value: null });
      points.push({ at, value: values[name] ?? null });
      last = at;
    }
    return points;
  }
}
