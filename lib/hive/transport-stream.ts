import type { Heartbeat } from '../contract/heartbeat.js';
import { type Clock, systemClock } from '../util/clock.js';
import { systemCode } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import type { SenderLog } from './heartbeat-sender.js';
import { StreamConnection, streamTarget, UpgradeRefused } from './stream-connection.js';
import { StreamEncoder } from './stream-encoder.js';
import { StreamFallback } from './stream-fallback.js';
import type { EngineLoads, HeartbeatTransport, SendOutcome } from './transport.js';
import { type HttpTransportOptions, httpTransport, outcomeOf } from './transport-http.js';

export interface StreamTransportOptions extends Pick<HttpTransportOptions, 'token' | 'tls'> {
  readonly log: SenderLog;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** In place of requests, for tests. */
  readonly post?: HeartbeatTransport;
}

/** Statuses of what knows no streams: queens of before, and proxies that pass no upgrade on. */
const unsupported: ReadonlySet<number> = new Set([400, 404, 405, 426, 501]);
/** Errors of a queen that is not there for a POST either. */
const unreachable: ReadonlySet<string> = new Set(
  'ECONNREFUSED EHOSTUNREACH EHOSTDOWN ENETUNREACH ETIMEDOUT ENOTFOUND EAI_AGAIN'.split(' '),
);
/**
 * Over TLS a connection is made anew after so long, half as much to half as much more: sessions of the last day are taken up by a queen
 * that has started anew, and those of before are not.
 */
const renewMs = 6 * 3600_000;
/** Reasons of a resync that something on the way is to blame for. */
const suspicious: ReadonlySet<string> = new Set(['malformed', 'outOfOrder', 'checksum']);

const failed = (code: string, message: string, retryAfterMs: number | null = null): SendOutcome => ({
  kind: 'failed',
  failure: { code, message },
  retryAfterMs,
});

interface OpenStream {
  readonly connection: StreamConnection;
  readonly encoder: StreamEncoder;
}

/**
 * Heartbeats over a connection that is kept: keyframes, and what differs from them. Where streams are not known, or fail
 * twice in a minute and a POST does not, heartbeats go by POST for ten minutes.
 *
 * `send` resolves at once while no acknowledgement is due: the queen then has the heartbeat, or the connection ends within
 * some seconds and the next is sent whole. Each keyframe, each `ackEvery`th delta, and each with text waits for the
 * answer. It keeps the newest heartbeat, and asks that nobody changes it.
 */
export class StreamTransport implements HeartbeatTransport {
  readonly queen: string;
  readonly #options: StreamTransportOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #post: HeartbeatTransport;
  readonly #target: ReturnType<typeof streamTarget>;
  readonly #fallback = new StreamFallback();
  readonly #isSecure: boolean;
  #open: OpenStream | null = null;
  #renewAtMs = Number.POSITIVE_INFINITY;
  /** The queen asked to be left alone until then. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  /** Why the stream failed last. */
  #why = '';
  #hasSaid = false;

  constructor(queen: string, options: StreamTransportOptions) {
    this.queen = queen;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#post = options.post ?? httpTransport(queen, options);
    this.#isSecure = new URL(queen).protocol === 'https:';
    this.#target = streamTarget(queen, options.token, options.tls);
  }

  async send(heartbeat: Heartbeat, signal: AbortSignal): Promise<SendOutcome> {
    if (this.#fallback.usesPost(this.#clock.now())) return await this.#sendByPost(heartbeat, signal);
    const waitMs = this.#notBeforeMs - this.#clock.now();
    if (waitMs > 0) return failed('QUEEN_ENDS', `${shownUrl(this.queen)} is shutting down`, waitMs);
    if (this.#clock.now() >= this.#renewAtMs) this.#leave();
    try {
      const open = this.#open ?? (await this.#connect(signal));
      return await this.#sendOver(open, heartbeat, signal);
    } catch (error) {
      if (error instanceof UpgradeRefused) return this.#refusedUpgrade(error, heartbeat, signal);
      throw error;
    }
  }

  /** Never while an answer is due: what follows a message that the queen cannot follow would be for nothing. */
  sendLoads(loads: EngineLoads): void {
    if (this.#open === null) return;
    const { connection, encoder } = this.#open;
    if (!connection.takesLoads || connection.isWaiting || connection.isBehind) return;
    const bytes = encoder.encodeLoads(loads);
    if (bytes !== null) connection.send(bytes);
  }

  async close(): Promise<void> {
    this.#leave();
    this.#target.agent.destroy();
    await this.#post.close();
  }

  #leave(): void {
    this.#open?.connection.close();
    this.#open = null;
  }

  async #connect(signal: AbortSignal): Promise<OpenStream> {
    const encoder = new StreamEncoder(() => this.#clock.now(), this.#random);
    const connection = await StreamConnection.open(this.#target, signal, {
      clock: this.#clock,
      onResync: (reason) => {
        encoder.reset();
        if (suspicious.has(reason)) this.#failed(`the queen cannot follow: ${reason}`);
      },
      onKeyframeWanted: () => encoder.reset(),
      onGoAway: (withinMs) => {
        this.#notBeforeMs = this.#clock.now() + this.#random() * withinMs;
      },
      onEnd: (end) => {
        if (this.#open?.encoder === encoder) this.#open = null;
        if (end === 'failed') this.#failed('the connection ended');
      },
    }).catch((error: unknown) => {
      if (!unreachable.has(systemCode(error) ?? '') && !(error instanceof UpgradeRefused))
        this.#failed((error as Error).message);
      throw error;
    });
    encoder.ackEvery = connection.ackEvery;
    encoder.asksForKeyframes = connection.asksForKeyframes;
    if (this.#isSecure) this.#renewAtMs = this.#clock.now() + (0.5 + this.#random()) * renewMs;
    this.#open = { connection, encoder };
    return this.#open;
  }

  async #sendOver(
    { connection, encoder }: OpenStream,
    heartbeat: Heartbeat,
    signal: AbortSignal,
  ): Promise<SendOutcome> {
    // A queen that has lost the thread is sent the same heartbeat again, whole; one that then loses it again has failed.
    for (let attempt = 0; attempt < 2; attempt++) {
      if (connection.isBehind)
        return failed('QUEEN_SLOW', `${shownUrl(this.queen)} reads more slowly than it is sent to`);
      const { bytes, epoch, index, wantsAck } = await encoder.encode(heartbeat);
      if (signal.aborted) {
        // The last heartbeat of a hive that stops has overtaken it: the queen must not be sent an older one after that.
        encoder.reset();
        return failed('ABORTED', 'aborted');
      }
      if (!wantsAck) {
        connection.send(bytes);
        return { kind: 'ack', reply: connection.reply };
      }
      const answer = await connection.ask(bytes, epoch, index);
      if (answer.type === 'ack') {
        if (!answer.deltas) encoder.reset();
        return { kind: 'ack', reply: answer.reply };
      }
      encoder.reset();
      if (answer.type === 'refused') {
        const { status, code, message: detail, retryAfterSeconds } = answer;
        const retryAfter = retryAfterSeconds === undefined ? null : String(retryAfterSeconds);
        return outcomeOf({ status, retryAfter, body: JSON.stringify({ code, detail }) }, this.queen);
      }
    }
    return failed('RESYNC', `${shownUrl(this.queen)} does not follow`);
  }

  #refusedUpgrade({ response }: UpgradeRefused, heartbeat: Heartbeat, signal: AbortSignal) {
    const { status } = response;
    if (unsupported.has(status)) {
      this.#fallback.unsupported(this.#clock.now());
      this.#why = `answers ${status}`;
      this.#say();
      return this.#sendByPost(heartbeat, signal);
    }
    // Refusals of the hive itself would be the same for a POST.
    if (status !== 401 && status !== 403 && status !== 409) this.#failed(`answers ${status}`);
    if (status < 300) return failed('INVALID_RESPONSE', `${shownUrl(this.queen)} answers ${status} to an upgrade`);
    return outcomeOf(response, this.queen);
  }

  async #sendByPost(heartbeat: Heartbeat, signal: AbortSignal): Promise<SendOutcome> {
    this.#leave();
    let isAnswered = false;
    try {
      const outcome = await this.#post.send(heartbeat, signal);
      isAnswered = outcome.kind !== 'failed';
      return outcome;
    } finally {
      if (this.#fallback.posted(isAnswered, this.#clock.now())) this.#say();
    }
  }

  #failed(why: string): void {
    this.#why = why;
    this.#fallback.failed(this.#clock.now());
  }

  #say(): void {
    if (this.#hasSaid) return;
    this.#hasSaid = true;
    const message = `heartbeats are sent to ${shownUrl(this.queen)} by POST for ten minutes at a time; its stream: ${this.#why}`;
    this.#options.log.info({}, message);
  }
}
