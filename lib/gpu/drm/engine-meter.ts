import type { DrmClient, DrmEngine } from '../../native/drm-clients.js';

interface Counter {
  readonly busy: number;
  readonly of: number | null;
}

interface Known {
  atMs: number;
  readonly engines: Map<string, Counter>;
  seen: number;
}

/** What a client's engines did since its last reading. */
export interface EngineUse {
  /** Share of time by engine, 100 for all engines of a kind. */
  readonly percents: ReadonlyMap<string, number>;
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
  measure(key: string, client: DrmClient, atMs: number): EngineUse | null {
    const everBusy = [...client.engines.values()].some(({ busy }) => busy > 0);
    const known = this.#clients.get(key);
    if (known === undefined) {
      this.#clients.set(key, { atMs, engines: new Map(client.engines), seen: this.#pass });
      // Of one whose counters are 0 it is known all the same: it has done nothing yet.
      return client.enginePercents.size > 0 ? given(client) : everBusy ? null : none;
    }
    const elapsedMs = atMs - known.atMs;
    known.seen = this.#pass;
    if (client.enginePercents.size > 0) return given(client);
    if (elapsedMs <= 0) return null;
    const percents = new Map<string, number>();
    for (const [name, engine] of client.engines) {
      const earlier = known.engines.get(name);
      const percent = earlier === undefined ? null : shareOf(engine, earlier, elapsedMs);
      if (percent !== null) percents.set(name, percent);
      known.engines.set(name, larger(engine, earlier));
    }
    known.atMs = atMs;
    return { percents, everBusy };
  }
}

const none: EngineUse = { percents: new Map(), everBusy: false };

/** By a driver that gives shares itself. */
const given = ({ enginePercents }: DrmClient): EngineUse => ({
  percents: enginePercents,
  everBusy: [...enginePercents.values()].some((each) => each > 0),
});

/** Counters of which one stepped back stand still until it has caught up. */
const larger = (engine: DrmEngine, earlier: Counter | undefined): Counter =>
  earlier === undefined || engine.busy >= earlier.busy
    ? { busy: engine.busy, of: engine.of }
    : { ...earlier, of: engine.of };

function shareOf(engine: DrmEngine, earlier: Counter, elapsedMs: number): number | null {
  const busy = Math.max(0, engine.busy - earlier.busy);
  let passed = elapsedMs * nsPerMs;
  if (engine.of !== null) {
    if (earlier.of === null || engine.of < earlier.of) return null;
    passed = engine.of - earlier.of;
    // Its clock stands still while the engines sleep.
    if (passed === 0) return busy === 0 ? 0 : null;
  }
  return Math.min(100, (100 * busy) / passed / engine.capacity);
}
