import type { DrmClient, DrmShape } from '../../native/drm-clients.js';

/** Counters of a client when they were last read. */
interface Known {
  shape: DrmShape;
  atMs: number;
  /** By engine; the larger of two readings. */
  busy: Float64Array;
  of: Float64Array;
  seen: number;
}

/** What a client's engines did since its last reading. */
export interface EngineUse {
  readonly engines: readonly string[];
  /** Share of time of each, 100 for all engines of a kind; NaN: not known. */
  readonly percents: ArrayLike<number>;
  /** Some engine worked for it, now or before. */
  readonly everBusy: boolean;
}

const nsPerMs = 1e6;

/** Engine time of clients as shares of time. A counter may step back: the larger reading counts, so that no share is below 0. */
export class EngineMeter {
  readonly #clients = new Map<string, Known>();
  #pass = 0;

  /** Begins a pass; clients that were not in the last one are forgotten. */
  begin(): void {
    for (const [key, { seen }] of this.#clients) if (seen < this.#pass) this.#clients.delete(key);
    this.#pass += 1;
  }

  /** null: there is no earlier reading of this client. */
  measure(client: DrmClient, atMs: number): EngineUse | null {
    const { shape } = client;
    const known = this.#clients.get(shape.key);
    if (known === undefined) {
      this.#clients.set(shape.key, { shape, atMs, ...countersOf(client), seen: this.#pass });
      if (shape.percents.length > 0) return given(client);
      // Of one whose counters are 0 it is known all the same: it has done nothing yet.
      return isBusy(client) ? null : none;
    }
    known.seen = this.#pass;
    if (shape.percents.length > 0) return given(client);
    const elapsedMs = atMs - known.atMs;
    if (elapsedMs <= 0) return null;
    if (known.shape !== shape) adopt(known, shape);
    const percents = new Float64Array(shape.engines.length);
    for (let i = 0; i < percents.length; i++) {
      percents[i] = shareOf(client, known, i, elapsedMs);
      const busy = client.busy(i);
      // Counters of which one stepped back stand still until it has caught up.
      if (!(busy < (known.busy[i] as number))) known.busy[i] = busy;
      known.of[i] = client.of(i);
    }
    known.atMs = atMs;
    return { engines: shape.engines, percents, everBusy: isBusy(client) };
  }
}

const none: EngineUse = { engines: [], percents: [], everBusy: false };

function isBusy(client: DrmClient): boolean {
  for (let i = 0; i < client.shape.engines.length; i++) if (client.busy(i) > 0) return true;
  return false;
}

function countersOf(client: DrmClient): Pick<Known, 'busy' | 'of'> {
  const { length } = client.shape.engines;
  return {
    busy: Float64Array.from({ length }, (_, i) => client.busy(i)),
    of: Float64Array.from({ length }, (_, i) => client.of(i)),
  };
}

/** Brings what is known into the order of another shape: a kernel may say more of a client later. */
function adopt(known: Known, shape: DrmShape): void {
  const places = shape.engines.map((name) => known.shape.engines.indexOf(name));
  const { busy, of } = known;
  known.busy = Float64Array.from(places, (place) => busy[place] ?? Number.NaN);
  known.of = Float64Array.from(places, (place) => of[place] ?? Number.NaN);
  known.shape = shape;
}

/** By a driver that gives shares itself. */
function given(client: DrmClient): EngineUse {
  const { percents: engines } = client.shape;
  const percents = engines.map((_, i) => client.percent(i));
  return { engines, percents, everBusy: percents.some((each) => each > 0) };
}

/** NaN: it is not known. */
function shareOf(client: DrmClient, known: Known, engine: number, elapsedMs: number): number {
  const before = known.busy[engine] as number;
  if (Number.isNaN(before)) return Number.NaN;
  const busy = Math.max(0, client.busy(engine) - before);
  let passed = elapsedMs * nsPerMs;
  const of = client.of(engine);
  if (!Number.isNaN(of)) {
    passed = of - (known.of[engine] as number);
    if (!(passed >= 0)) return Number.NaN;
    // Its clock stands still while the engines sleep.
    if (passed === 0) return busy === 0 ? 0 : Number.NaN;
  }
  return Math.min(100, (100 * busy) / passed / client.capacity(engine));
}
