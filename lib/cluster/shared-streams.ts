import { readSchema } from '../contract/stream/codec.js';
import { maxTextBytes } from '../contract/stream/messages.js';
import type { HeartbeatBody } from '../queen/heartbeat-body.js';
import { HeartbeatStream, type StreamOutcome } from '../queen/heartbeat-stream.js';
import { type HeartbeatIntake, type StreamOrigin, sharedKey } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';
import { planOf, type StreamPlan } from '../queen/stream-plan.js';
import { exceededBudget, type JsonBudget } from '../util/json-budget.js';
import { Limiter } from '../util/rate-limiter.js';

/** Different sets of columns at once: hives of one version share theirs. */
const maxPlans = 64;
/** New ones: each is compiled. */
const planRate = { perSecond: 1, burst: maxPlans };
const schemaBudget: JsonBudget = { depth: 8, nodes: 4096, keys: 16, stringBytes: 320 };
/** Wishes for keyframes of one hive, which may have no connection at all, and of all: each costs every queen a whole heartbeat. */
const wishRate = { perSecond: 0.2, burst: 1 };
const wishesOfAllRate = { perSecond: 500, burst: 500 };

/** What a delta comes to that refers to nothing known. */
const isLost: ReadonlySet<StreamOutcome['kind']> = new Set(['resync', 'refused', 'ignored']);

interface Followed {
  readonly plan: StreamPlan;
  readonly stream: HeartbeatStream;
}

/**
 * The streams that hives have to other queens, as those pass them on: keyframes, and deltas to them. Where a delta comes that
 * refers to nothing known here (this queen has joined late, or a message was lost), `wish` asks for a keyframe.
 */
export class SharedStreams {
  readonly #registry: Registry;
  readonly #intake: HeartbeatIntake;
  readonly #wish: (hive: string) => void;
  readonly #followed = new Map<string, Followed>();
  readonly #plans = new Map<string, StreamPlan>();
  readonly #newPlans: Limiter;
  readonly #wishes: Limiter;
  readonly #wishesOfAll: Limiter;

  constructor(
    registry: Registry,
    intake: HeartbeatIntake,
    wish: (hive: string) => void,
    now = () => performance.now(),
  ) {
    this.#registry = registry;
    this.#intake = intake;
    this.#wish = wish;
    this.#newPlans = new Limiter({ ...planRate, now });
    this.#wishes = new Limiter({ ...wishRate, now });
    this.#wishesOfAll = new Limiter({ ...wishesOfAllRate, now });
  }

  /** A whole heartbeat; `origin`: what its deltas refer to, null: there will be none. */
  async whole(hive: string, body: HeartbeatBody, origin: StreamOrigin | null): Promise<StreamOutcome | null> {
    const plan = origin === null ? null : this.#planOf(origin.schema);
    if (origin === null || plan === null) {
      this.#followed.delete(hive);
      return null;
    }
    const known = this.#followed.get(hive);
    const isSame = known?.stream.name === origin.stream && known.plan === plan;
    const stream = isSame ? known.stream : this.#newStream(hive, plan, origin.stream);
    if (!isSame) this.#followed.set(hive, { plan, stream });
    return await stream.receiveKeyframe(origin.epoch, body);
  }

  /** Null: it refers to nothing that is known here. */
  async delta(hive: string, name: string, bytes: Buffer): Promise<StreamOutcome | null> {
    const followed = this.#followed.get(hive);
    if (followed?.stream.name !== name) {
      this.lose(hive);
      return null;
    }
    const outcome = await followed.stream.receive(bytes);
    if (isLost.has(outcome.kind)) this.lose(hive);
    return outcome;
  }

  /** What this queen knows of a hive is no longer what its deltas refer to. */
  lose(hive: string): void {
    this.#followed.delete(hive);
    if (this.#wishes.take(hive) === 0 && this.#wishesOfAll.take('') === 0) this.#wish(hive);
  }

  /** Forgets hives that are gone, or are heard in other ways. */
  sweep(): void {
    for (const [hive, { stream }] of this.#followed) if (!stream.isFollowing) this.#followed.delete(hive);
  }

  clear(): void {
    this.#followed.clear();
  }

  #newStream(hive: string, plan: StreamPlan, name: string): HeartbeatStream {
    const key = sharedKey(hive);
    // Who may publish for which hive is decided by the NATS server, by subject.
    return new HeartbeatStream(this.#registry, this.#intake.shared, { key, owner: key, hive }, plan, name);
  }

  /** Null: there is none that this queen would go by. */
  #planOf(text: string): StreamPlan | null {
    const known = this.#plans.get(text);
    if (known !== undefined) return known;
    if (text.length > maxTextBytes || exceededBudget(Buffer.from(text), schemaBudget) !== null) return null;
    if (this.#newPlans.take('') > 0) return null;
    try {
      const plan = planOf(readSchema(JSON.parse(text)));
      if (this.#plans.size >= maxPlans) this.#plans.delete(this.#plans.keys().next().value!);
      this.#plans.set(text, plan);
      return plan;
    } catch {
      return null;
    }
  }
}
