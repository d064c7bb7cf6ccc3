import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { defaults } from '../contract/defaults.js';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import { type Clock, systemClock } from '../util/clock.js';
import { systemCode } from '../util/errors.js';
import type { Exchange, ExchangeResponse } from './transport-http.js';

const compress = promisify(gzip);

/** Time and timers, so that tests need not wait. */
/** What a sender says of itself; a pino logger is one. */
export interface SenderLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface SenderOptions {
  /** Queens in order of preference, `http://host:port`. */
  readonly queens: readonly string[];
  readonly token?: string | undefined;
  readonly intervalMs: number;
  /** The newest heartbeat, made at the moment it is sent. */
  readonly build: () => Heartbeat;
  /** A queen took the beat. */
  readonly onReply?: (reply: HeartbeatReply, queen: string) => void;
  readonly exchange: Exchange;
  readonly log: SenderLog;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly timeoutMs?: number;
  readonly tryTimeoutMs?: number;
  readonly compressAboveBytes?: number;
  /** How long to stay with another queen before the first is tried again, ms. */
  readonly homeAfterMs?: number;
}

/** Why the last beat was not taken; null where it was. */
export interface SendFailure {
  readonly code: string;
  readonly message: string;
}

/** A refusal that no retry mends soon (rights, a duplicate id) is repeated only so often. */
const refusedRetryMs = 10_000;
const maxRetryAfterMs = 60_000;
/** Longest to be with another queen than the first before that one is tried again, half as much to half as much more. */
const homeAfterMs = 30_000;
/** Even the luckiest draw rests for so long: a queen that refuses at once must not be asked in a loop. */
const minRetryMs = 50;

interface Taken {
  readonly kind: 'taken';
  readonly reply: HeartbeatReply;
  readonly queen: string;
}
type Outcome = Taken | { readonly kind: 'failed'; readonly failure: SendFailure; readonly waitMs: number | null };

/**
 * Sends the newest heartbeat each interval: one exchange in flight, each with a deadline as a whole, backoff with full
 * jitter, several queens tried in turn. It queues nothing: a beat that could not be sent is forgotten, for the next says
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
  #taken = 0;
  #failedInAll = 0;
  #failure: SendFailure | null = null;
  #flight: { readonly abort: AbortController; readonly done: Promise<void> } | null = null;
  #cancelRetry: (() => void) | null = null;
  #stopped = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#intervalMs = options.intervalMs;
    this.#homeJitter = 0.5 + this.#random();
    // Hives that are started together (a rack after a power cut) must not beat together.
    this.#dueMs = this.#clock.now() + this.#random() * options.intervalMs;
  }

  /** What the queen last granted, ms; the sender's own before the first answer. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Why beats are not taken; null while they are, and before the first. */
  get failure(): SendFailure | null {
    return this.#failure;
  }

  /** Beats that were taken and that were not, since the start. */
  get counts(): { readonly taken: number; readonly failed: number } {
    return { taken: this.#taken, failed: this.#failedInAll };
  }

  /** Sends the newest beat if it is due and none is in flight. */
  tick(): void {
    if (this.#stopped || this.#flight !== null || this.#options.queens.length === 0) return;
    const early = this.#dueMs - this.#clock.now();
    // Ticks come with the passes and jitter with them: one that is a little early is not put off for a whole interval.
    if (early > this.#options.intervalMs / 10) {
      if (this.#failures > 0 || early < this.#options.intervalMs) this.#armRetry(early);
      return;
    }
    this.#send();
  }

  /** Sends one last beat, whatever is in flight or backed off, and is done. Resolves within `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#flight?.abort.abort();
    if (this.#options.queens.length === 0) return;
    const abort = new AbortController();
    const cancel = this.#clock.after(deadlineMs, () => abort.abort());
    try {
      const outcome = await this.#exchange(this.#options.build(), abort, deadlineMs);
      if (outcome.kind === 'taken') this.#options.onReply?.(outcome.reply, outcome.queen);
    } finally {
      cancel();
    }
  }

  #armRetry(ms: number): void {
    if (this.#cancelRetry !== null) return;
    this.#cancelRetry = this.#clock.after(ms, () => {
      this.#cancelRetry = null;
      if (!this.#stopped && this.#flight === null) this.#send();
    });
  }

  #send(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    const abort = new AbortController();
    const startedMs = this.#clock.now();
    const deadlineMs = this.#options.timeoutMs ?? defaults.sendTimeoutMs;
    const cancel = this.#clock.after(deadlineMs, () => abort.abort());
    const done = this.#exchange(this.#options.build(), abort, deadlineMs)
      .then((outcome) => this.#settle(outcome, startedMs))
      .finally(() => {
        cancel();
        this.#flight = null;
        if (this.#failures > 0 && !this.#stopped) this.#armRetry(Math.max(0, this.#dueMs - this.#clock.now()));
      });
    this.#flight = { abort, done };
  }

  /** Tries the queens in turn, beginning with the one that answered last. Never rejects. */
  async #exchange(beat: Heartbeat, abort: AbortController, deadlineMs: number): Promise<Outcome> {
    const { queens, token, exchange, compressAboveBytes = defaults.compressAboveBytes } = this.#options;
    const plain = Buffer.from(JSON.stringify(beat));
    const large = plain.length > compressAboveBytes;
    // The lowest level takes most of it (JSON repeats its keys) for a third of the time of the default.
    const body = large ? await compress(plain, { level: constants.Z_BEST_SPEED }) : plain;
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (large) headers['content-encoding'] = 'gzip';
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    const tryMs = queens.length > 1 ? (this.#options.tryTimeoutMs ?? defaults.sendTryTimeoutMs) : deadlineMs;
    let outcome: Outcome = { kind: 'failed', failure: { code: 'ABORTED', message: 'aborted' }, waitMs: null };
    let taken: Taken | null = null;
    this.#failBack();
    for (let i = 0; i < queens.length && !abort.signal.aborted; i += 1) {
      const at = (this.#preferred + i) % queens.length;
      const queen = queens[at] as string;
      const attempt = new AbortController();
      const passOn = () => attempt.abort();
      abort.signal.addEventListener('abort', passOn, { once: true });
      const cancel = this.#clock.after(tryMs, passOn);
      try {
        const url = new URL('/v1/heartbeats', queen).href;
        const response = await untilAborted(
          exchange({ url, headers, body, beat, signal: attempt.signal }),
          attempt.signal,
        );
        outcome = this.#classifyReply(response, queen);
      } catch (error) {
        const code = attempt.signal.aborted ? 'REQUEST_TIMEOUT' : (systemCode(error) ?? 'REQUEST_FAILED');
        const what = attempt.signal.aborted ? `no answer within ${tryMs} ms` : (error as Error).message;
        outcome = { kind: 'failed', failure: { code, message: `${queen}: ${what}` }, waitMs: null };
      } finally {
        cancel();
        abort.signal.removeEventListener('abort', passOn);
      }
      if (outcome.kind === 'taken') {
        // One that can't pass it on is heard by nobody else: the others are told too, and one that can is stayed with.
        taken = best(taken, outcome);
        if (outcome.reply.degraded === true && queens.length > 1) continue;
        this.#stickTo(at);
        return taken;
      }
      if (taken !== null) continue;
      // A queen that answers and refuses speaks for all of them; only one that can't answer is passed over.
      if (outcome.failure.code.startsWith('REFUSED')) return outcome;
    }
    return taken ?? outcome;
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

  #classifyReply(response: ExchangeResponse, queen: string): Outcome {
    const { status, body } = response;
    if (status === 200) {
      const reply = parseReply(body);
      if (reply !== null) return { kind: 'taken', reply, queen };
      const message = `${queen} answers, but not as a queen does; is it one?`;
      return { kind: 'failed', failure: { code: 'INVALID_RESPONSE', message }, waitMs: null };
    }
    const problem = parseProblem(body);
    const detail = `${queen}: ${status}${problem.code ? ` ${problem.code}` : ''}${problem.detail ? `, ${problem.detail}` : ''}`;
    const failed = (code: string, waitMs: number | null): Outcome => ({
      kind: 'failed',
      failure: { code, message: detail },
      waitMs,
    });
    if (status === 429 || status === 503) return failed(`BUSY_${status}`, retryAfterMs(response.retryAfter));
    if (status === 401 || status === 403) return failed(`REFUSED_${status}`, refusedRetryMs);
    if (status === 409 && problem.code === 'DUPLICATE_HIVE_ID')
      return failed('REFUSED_DUPLICATE_HIVE_ID', refusedRetryMs);
    // Overtaken by a newer beat, or by a newer run of this hive: the next beat tells.
    if (status === 409) return failed(`REFUSED_${problem.code ?? 409}`, this.#options.intervalMs);
    if (status >= 400 && status < 500)
      return failed(`REFUSED_${status}`, Math.max(refusedRetryMs / 2, this.#intervalMs));
    return failed(`STATUS_${status}`, null);
  }

  #settle(outcome: Outcome, startedMs: number): void {
    if (this.#stopped) return;
    const { log } = this.#options;
    if (outcome.kind === 'taken') this.#taken += 1;
    else this.#failedInAll += 1;
    if (outcome.kind === 'taken') {
      if (this.#failures > 0)
        log.info({ queen: outcome.queen, failures: this.#failures }, 'heartbeats are taken again');
      this.#failures = 0;
      this.#failure = null;
      // A queen may only slow a hive down; nobody can make it beat faster than it was told at home.
      this.#intervalMs = Math.max(this.#options.intervalMs, outcome.reply.intervalMs);
      this.#dueMs = startedMs + this.#intervalMs;
      this.#options.onReply?.(outcome.reply, outcome.queen);
      return;
    }
    this.#failures += 1;
    this.#failure = outcome.failure;
    if (isLogged(this.#failures)) {
      log.warn(
        { code: outcome.failure.code, failures: this.#failures },
        `heartbeat not taken: ${outcome.failure.message}`,
      );
    }
    // Full jitter over a ceiling that doubles: drawn from nothing up to it.
    const ceiling = Math.min(defaults.backoffMaxMs, defaults.backoffMinMs * 2 ** Math.min(this.#failures - 1, 16));
    this.#dueMs = this.#clock.now() + (outcome.waitMs ?? Math.max(minRetryMs, this.#random() * ceiling));
  }
}

/** Of several queens that took a beat, the one that has made most of its events safe; the later where none is ahead. */
function best(before: Taken | null, now: Taken): Taken {
  return before !== null && before.reply.ackEventSeq > now.reply.ackEventSeq ? before : now;
}

/** The 1st failure, the 10th, then each doubling of that. */
export function isLogged(failures: number): boolean {
  if (failures === 1) return true;
  for (let at = 10; at <= failures; at *= 2) if (at === failures) return true;
  return false;
}

/** Settles when the exchange does or the signal aborts: an exchange that ignores its signal must not hold a beat. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Error('aborted'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function parseReply(body: string): HeartbeatReply | null {
  try {
    const reply = JSON.parse(body) as Partial<HeartbeatReply> | null;
    const { queenId, ackEventSeq, intervalMs, degraded } = reply ?? {};
    if (reply?.accepted !== true || typeof queenId !== 'string') return null;
    if (!Number.isSafeInteger(ackEventSeq) || !Number.isFinite(intervalMs)) return null;
    return {
      accepted: true,
      queenId,
      ackEventSeq: ackEventSeq as number,
      intervalMs: Math.min(intervalMs as number, 600_000),
      ...(degraded === true ? { degraded } : {}),
    };
  } catch {
    return null;
  }
}

function parseProblem(body: string): { readonly code: string | null; readonly detail: string | null } {
  try {
    const problem = JSON.parse(body) as { code?: unknown; detail?: unknown } | null;
    return {
      code: typeof problem?.code === 'string' ? problem.code.slice(0, 64) : null,
      detail: typeof problem?.detail === 'string' ? problem.detail.slice(0, 256) : null,
    };
  } catch {
    return { code: null, detail: null };
  }
}

/** Seconds, at most a minute; a date (the other legal form) needs a clock that agrees, so it means backoff. */
function retryAfterMs(value: string | null): number | null {
  if (value === null || !/^[0-9]{1,6}$/.test(value.trim())) return null;
  return Math.min(Number(value) * 1000, maxRetryAfterMs);
}
