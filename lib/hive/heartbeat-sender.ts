import { defaults } from '../contract/defaults.js';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import { type Clock, systemClock } from '../util/clock.js';
import { systemCode } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';
import type { EngineLoads, HeartbeatTransport, RefusalReason, SendFailure, SendOutcome } from './transport.js';

/** What a sender logs to; a pino logger is one. */
export interface SenderLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface SenderOptions {
  /** One for each queen, in order of preference. */
  readonly transports: readonly HeartbeatTransport[];
  readonly intervalMs: number;
  /** The newest heartbeat, made at the moment it is sent. */
  readonly build: () => Heartbeat;
  /** A queen accepted a heartbeat. */
  readonly onReply?: (reply: HeartbeatReply, queen: string) => void;
  readonly log: SenderLog;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly timeoutMs?: number;
  readonly tryTimeoutMs?: number;
  /** How long to stay with another queen before the first is tried again, ms. */
  readonly homeAfterMs?: number;
}

/** A refusal for lack of rights or for a duplicate id does not end soon, so it is repeated only so often. */
const refusedRetryMs = 10_000;
/** Longest to be with another queen than the first before that one is tried again, half as much to half as much more. */
const homeAfterMs = 30_000;
/** Pause even at the lowest draw: a queen that fails at once must not be asked in a loop. */
const minRetryMs = 50;

interface Accepted {
  readonly kind: 'ack';
  readonly reply: HeartbeatReply;
  readonly queen: string;
}
type Outcome = Accepted | Exclude<SendOutcome, { kind: 'ack' }>;

/**
 * Sends the newest heartbeat each interval: one at a time, each with a deadline as a whole, backoff with full jitter,
 * several queens tried in turn. It queues nothing: a heartbeat that could not be sent is forgotten, for the next says
 * more. `tick` is called whenever there is something new; it sends where it is time to.
 */
export class HeartbeatSender {
  readonly #options: SenderOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  #preferred = 0;
  #awaySinceMs = 0;
  #homeJitter: number;
  #intervalMs: number;
  #dueMs: number;
  #failures = 0;
  #accepted = 0;
  #failedInAll = 0;
  #failure: SendFailure | null = null;
  #inFlight: AbortController | null = null;
  #cancelRetry: (() => void) | null = null;
  #stopped = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#intervalMs = options.intervalMs;
    this.#homeJitter = 0.5 + this.#random();
    // Hives that are started together (a rack after a power cut) must not send together.
    this.#dueMs = this.#clock.now() + this.#random() * options.intervalMs;
  }

  /** What the queen last granted, ms; the sender's own before the first answer. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Why heartbeats are not accepted; null while they are, and before the first. */
  get failure(): SendFailure | null {
    return this.#failure;
  }

  /** Heartbeats that were accepted and that were not, since the start. */
  get counts(): { readonly taken: number; readonly failed: number } {
    return { taken: this.#accepted, failed: this.#failedInAll };
  }

  /** Sends the newest heartbeat if it is due and none is in flight. */
  tick(): void {
    if (this.#stopped || this.#inFlight !== null || this.#options.transports.length === 0) return;
    const early = this.#dueMs - this.#clock.now();
    // Ticks come with the passes and jitter with them: one that is a little early is not put off for a whole interval.
    if (early > this.#options.intervalMs / 10) {
      if (early < this.#options.intervalMs) this.#armRetry(early);
      return;
    }
    this.#send();
  }

  /** Sends what engines say between two heartbeats, to the queen that took the last one. */
  sendLoads(loads: EngineLoads): void {
    if (this.#stopped || this.#inFlight !== null || this.#failure !== null) return;
    this.#options.transports[this.#preferred]?.sendLoads?.(loads);
  }

  /** Sends one last heartbeat, whatever is in flight or backed off, and is done. Resolves within `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#inFlight?.abort();
    if (this.#options.transports.length === 0) return;
    const abort = new AbortController();
    const cancel = this.#clock.after(deadlineMs, () => abort.abort());
    try {
      const outcome = await this.#sendToOne(this.#options.build(), abort.signal, deadlineMs);
      if (outcome.kind === 'ack') this.#options.onReply?.(outcome.reply, outcome.queen);
    } finally {
      cancel();
    }
  }

  #armRetry(ms: number): void {
    if (this.#cancelRetry !== null) return;
    this.#cancelRetry = this.#clock.after(ms, () => {
      this.#cancelRetry = null;
      this.#send();
    });
  }

  #send(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    const abort = new AbortController();
    const startedMs = this.#clock.now();
    const deadlineMs = this.#options.timeoutMs ?? defaults.sendTimeoutMs;
    const cancel = this.#clock.after(deadlineMs, () => abort.abort());
    this.#inFlight = abort;
    void this.#sendToOne(this.#options.build(), abort.signal, deadlineMs)
      .then((outcome) => this.#settle(outcome, startedMs))
      .finally(() => {
        cancel();
        this.#inFlight = null;
        if (this.#failures > 0 && !this.#stopped) this.#armRetry(Math.max(0, this.#dueMs - this.#clock.now()));
      });
  }

  /** Tries the queens in turn, beginning with the one that answered last. Never rejects. */
  async #sendToOne(heartbeat: Heartbeat, signal: AbortSignal, deadlineMs: number): Promise<Outcome> {
    const { transports } = this.#options;
    const tryMs = this.#options.tryTimeoutMs ?? defaults.sendTryTimeoutMs;
    let last: Outcome = failedWith('ABORTED', 'aborted');
    let accepted: Accepted | null = null;
    this.#failBack();
    for (let i = 0; i < transports.length && !signal.aborted; i++) {
      const at = (this.#preferred + i) % transports.length;
      const transport = transports[at] as HeartbeatTransport;
      // The only queen has the whole time of the send.
      const outcome =
        transports.length === 1
          ? await this.#exchange(transport, heartbeat, signal, deadlineMs)
          : await this.#attempt(transport, heartbeat, signal, tryMs);
      if (outcome.kind === 'ack') {
        accepted = best(accepted, { ...outcome, queen: transport.queen });
        // A degraded queen cannot pass it on: the others, if any, get it too, and one that is not degraded is stayed with.
        if (outcome.reply.degraded === true) continue;
        this.#stickTo(at);
        return accepted;
      }
      last = outcome;
      if (outcome.kind === 'refused' && accepted === null) return outcome;
    }
    return accepted ?? last;
  }

  async #attempt(
    transport: HeartbeatTransport,
    heartbeat: Heartbeat,
    signal: AbortSignal,
    tryMs: number,
  ): Promise<SendOutcome> {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    signal.addEventListener('abort', abort, { once: true });
    const cancel = this.#clock.after(tryMs, abort);
    try {
      return await this.#exchange(transport, heartbeat, attempt.signal, tryMs);
    } finally {
      cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  /** `signal` aborts after `withinMs`. Never rejects. */
  async #exchange(
    transport: HeartbeatTransport,
    heartbeat: Heartbeat,
    signal: AbortSignal,
    withinMs: number,
  ): Promise<SendOutcome> {
    try {
      return await untilAborted(transport.send(heartbeat, signal), signal);
    } catch (error) {
      if (signal.aborted)
        return failedWith('REQUEST_TIMEOUT', `${shownUrl(transport.queen)}: no answer within ${withinMs} ms`);
      return failedWith(
        systemCode(error) ?? 'REQUEST_FAILED',
        `${shownUrl(transport.queen)}: ${(error as Error).message}`,
      );
    }
  }

  #stickTo(at: number): void {
    if (at !== this.#preferred) this.#awaySinceMs = this.#clock.now();
    this.#preferred = at;
  }

  /** After a while elsewhere the first of the list is tried again, each hive at its own time: so they come back spread. */
  #failBack(): void {
    if (this.#preferred === 0) return;
    const stayMs = this.#options.homeAfterMs ?? homeAfterMs;
    if (this.#clock.now() - this.#awaySinceMs < stayMs * this.#homeJitter) return;
    this.#preferred = 0;
    this.#awaySinceMs = this.#clock.now();
    this.#homeJitter = 0.5 + this.#random();
  }

  #settle(outcome: Outcome, startedMs: number): void {
    if (this.#stopped) return;
    const { log, onReply } = this.#options;
    if (outcome.kind === 'ack') {
      this.#accepted++;
      if (this.#failures > 0)
        log.info({ queen: outcome.queen, failures: this.#failures }, 'heartbeats are taken again');
      this.#failures = 0;
      this.#failure = null;
      // A queen may only slow a hive down, never make it send faster than its own options say.
      this.#intervalMs = Math.max(this.#options.intervalMs, outcome.reply.intervalMs);
      this.#dueMs = startedMs + this.#intervalMs;
      onReply?.(outcome.reply, outcome.queen);
      return;
    }
    this.#failedInAll++;
    this.#failures++;
    const { code, message } = outcome.failure;
    this.#failure = outcome.failure;
    if (isLogged(this.#failures)) log.warn({ code, failures: this.#failures }, `heartbeat not taken: ${message}`);
    const waitMs = outcome.kind === 'refused' ? this.#refusedWaitMs(outcome.reason) : outcome.retryAfterMs;
    this.#dueMs = this.#clock.now() + (waitMs ?? this.#backoffMs());
  }

  #refusedWaitMs(reason: RefusalReason): number {
    // Overtaken by a newer heartbeat, or by a newer run of this hive, which only the next one finds out.
    if (reason === 'overtaken') return this.#options.intervalMs;
    return reason === 'malformed' ? Math.max(refusedRetryMs / 2, this.#intervalMs) : refusedRetryMs;
  }

  /** Full jitter over a ceiling that doubles: drawn from nothing up to it. */
  #backoffMs(): number {
    const ceilingMs = Math.min(defaults.backoffMaxMs, defaults.backoffMinMs * 2 ** Math.min(this.#failures - 1, 16));
    return Math.max(minRetryMs, this.#random() * ceilingMs);
  }
}

const failedWith = (code: string, message: string): Exclude<SendOutcome, { kind: 'ack' }> => ({
  kind: 'failed',
  failure: { code, message },
  retryAfterMs: null,
});

/** Of several queens that accepted a heartbeat, the one that has made most of its events safe; the later of two alike. */
function best(before: Accepted | null, now: Accepted): Accepted {
  return before !== null && before.reply.ackEventSeq > now.reply.ackEventSeq ? before : now;
}

/** The 1st failure, the 10th, then each doubling of that. */
export function isLogged(failures: number): boolean {
  if (failures === 1) return true;
  for (let at = 10; at <= failures; at *= 2) if (at === failures) return true;
  return false;
}

/** Settles when the work does or the signal, which has not yet, aborts: a transport that ignores its signal must not hold a heartbeat. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
