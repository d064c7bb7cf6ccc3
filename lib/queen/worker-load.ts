import { LearnedSpeeds, type Rates, type WorkerClass } from './speeds.js';

/** The same work over a longer time. */
const spread = (
  { running, promptTokensPerSecond: prompts, generationTokensPerSecond: tokens }: Rates,
  share: number,
): Rates => ({
  running,
  promptTokensPerSecond: prompts === null ? null : prompts * share,
  generationTokensPerSecond: tokens === null ? null : tokens * share,
});

/** What an engine reports of its load, as far as the cost of a request depends on it. Null: it does not report that. */
export interface LoadReport extends Rates {
  readonly waiting: number | null;
  readonly waitingTokens: number | null;
}

interface Debit {
  readonly id: number;
  readonly atMs: number;
  /** Of its prompt. */
  readonly tokens: number;
}

/** Longest that a pick is debited although the engine's figures do not show it. */
export const debitMs = 5000;
/** Time over which the arrivals of all and those of our own picks are compared, ms. */
const foreignMs = 30_000;
/** Others seem to send something where more arrives than our picks and this share of them: late figures never agree quite. */
const noiseShare = 0.1;
/** What others send counts this many times: it comes in bursts, and late figures do not show them. */
const foreignWeight = 2;
/** Whatever others send and however full the engine is, this share of its prefill speed is taken to be left. */
const leastShare = 0.1;

/**
 * The load that one worker is likely to have now: what its engine reported last, and the picks that its figures do not show yet.
 * Engines report late (vLLM by 3 to 6 s), so a pick is not taken off at the next heartbeat but when the prompt tokens
 * that have arrived by the engine's own counters (those computed and those that wait), less what others send, cover it; first in,
 * first out. Meanwhile the queue shrinks at the speed that the worker has shown. Pure: the clock is an argument.
 */
export class WorkerLoad {
  readonly speeds: LearnedSpeeds;
  /** When the process was started whose load it is; null: not known. */
  readonly startedAt: string | null;
  #debits: Debit[] = [];
  #debitTokens = 0;
  #running = 0;
  #waiting = 0;
  /** Prompt tokens that wait by the last report. */
  #waitingTokens = 0;
  /** Requests waited in this report and in the one before: it computes what it can. */
  #isFull = false;
  #measuredAtMs = Number.NEGATIVE_INFINITY;
  /** Prompt tokens that arrived by the engine's counters and are not set against a debit yet. */
  #shownTokens = 0;
  /** Prompt tokens of picks since the last report that showed some arrive. */
  #pickedTokens = 0;
  /** Since then: a cold engine reports nothing for a while, and then all of it at once. */
  #unshownMs = 0;
  /** Prompt tokens a ms that arrive by the engine's counters, and those of our picks. */
  #arrivals = 0;
  #picked = 0;
  /** Prompt tokens that wait at `#queueAtMs`, those of picks among them. */
  #queueTokens = 0;
  #queueAtMs = Number.NEGATIVE_INFINITY;

  constructor(like: WorkerClass, startedAt: string | null = null) {
    this.startedAt = startedAt;
    this.speeds = new LearnedSpeeds(like);
  }

  /**
   * Takes a report; one that was taken already changes nothing.
   * @param measuredAtMs by the clock of the picks
   */
  report(report: LoadReport, measuredAtMs: number): void {
    const sinceMs = measuredAtMs - this.#measuredAtMs;
    if (sinceMs <= 1) return;
    const waiting = report.waiting ?? 0;
    const waitingTokens = report.waitingTokens ?? waiting * this.speeds.like.meanPromptTokens;
    if (report.promptTokensPerSecond !== null && Number.isFinite(sinceMs)) {
      const computed = (report.promptTokensPerSecond * sinceMs) / 1000;
      const arrived = Math.max(0, computed + waitingTokens - this.#waitingTokens);
      this.#unshownMs += sinceMs;
      if (arrived > 0 || this.#pickedTokens === 0 || this.#unshownMs > foreignMs) {
        const share = sinceMs / this.#unshownMs;
        this.#compare(arrived, this.#unshownMs);
        this.speeds.learn(spread(report, share), this.#unshownMs);
        this.#unshownMs = 0;
      }
    }
    this.#isFull = waiting > 0 && this.#waiting > 0;
    this.#running = report.running ?? 0;
    this.#waiting = waiting;
    this.#waitingTokens = waitingTokens;
    this.#measuredAtMs = measuredAtMs;
    this.#settle(measuredAtMs);
    this.#replay();
  }

  pick(id: number, tokens: number, nowMs: number): void {
    this.#expire(nowMs);
    this.#queueTokens = this.queueTokens(nowMs) + tokens;
    this.#queueAtMs = nowMs;
    this.#pickedTokens += tokens;
    this.#debitTokens += tokens;
    this.#debits.push({ id, atMs: nowMs, tokens });
  }

  /** Takes a pick off that is over or was never sent. False where it is debited no longer. */
  done(id: number, nowMs: number): boolean {
    const at = this.#debits.findIndex((debit) => debit.id === id);
    if (at < 0) return false;
    const { tokens } = this.#debits[at]!;
    this.#debits.splice(at, 1);
    this.#debitTokens -= tokens;
    this.#queueTokens = Math.max(0, this.queueTokens(nowMs) - tokens);
    this.#queueAtMs = nowMs;
    return true;
  }

  /** Picks that the engine's figures do not show yet. */
  picks(nowMs: number): number {
    this.#expire(nowMs);
    return this.#debits.length;
  }

  /** Tokens of their prompts. */
  debitTokens(nowMs: number): number {
    this.#expire(nowMs);
    return this.#debitTokens;
  }

  /** Requests that it is likely to hold, running or waiting. */
  requests(nowMs: number): number {
    return this.#running + this.#waiting + this.picks(nowMs);
  }

  /** Prompt tokens that are likely to wait. */
  queueTokens(nowMs: number): number {
    if (this.#queueTokens === 0) return 0;
    return Math.max(0, this.#queueTokens - Math.max(0, nowMs - this.#queueAtMs) * this.tokensPerMs);
  }

  /** Prompt tokens a ms that it is likely to compute of ours: its prefill speed, or where requests wait what it did of late, less what others send. */
  get tokensPerMs(): number {
    const most = this.speeds.prefillTokensPerSecond / 1000;
    const least = leastShare * most;
    const usual = this.#isFull ? Math.min(most, this.speeds.promptTokensPerSecond / 1000) : most;
    return Math.max(least, usual - foreignWeight * this.#foreign);
  }

  /** Sets what arrived by the engine's counters against what was picked, and the rest against debits. */
  #compare(arrived: number, sinceMs: number): void {
    const weight = 1 - Math.exp(-sinceMs / foreignMs);
    this.#arrivals += weight * (arrived / sinceMs - this.#arrivals);
    this.#picked += weight * (this.#pickedTokens / sinceMs - this.#picked);
    this.#pickedTokens = 0;
    this.#shownTokens += Math.max(0, arrived - this.#foreign * sinceMs);
  }

  /** Prompt tokens a ms that others send to this worker. */
  get #foreign(): number {
    return Math.max(0, this.#arrivals - (1 + noiseShare) * this.#picked);
  }

  /** Takes off the debits that the engine's figures cover. They cannot show what was picked after they were measured. */
  #settle(measuredAtMs: number): void {
    let covered = 0;
    for (const { tokens, atMs } of this.#debits) {
      if (tokens > this.#shownTokens || atMs >= measuredAtMs) break;
      this.#shownTokens -= tokens;
      covered++;
    }
    this.#drop(covered);
    if (this.#debits.length === 0) this.#shownTokens = 0;
  }

  #expire(nowMs: number): void {
    let over = 0;
    while (over < this.#debits.length && nowMs - this.#debits[over]!.atMs > debitMs) over++;
    this.#drop(over);
  }

  #drop(count: number): void {
    if (count === 0) return;
    for (const { tokens } of this.#debits.splice(0, count)) this.#debitTokens -= tokens;
  }

  /**
   * The queue from the last report on: each debit adds to it. What a report does not show of the picks before it, it is too old
   * for: it holds for the time of the first of these, and what came since has been computed since.
   */
  #replay(): void {
    this.#queueTokens = this.#waitingTokens;
    this.#queueAtMs = Math.min(this.#measuredAtMs, this.#debits[0]?.atMs ?? Number.POSITIVE_INFINITY);
    for (const { atMs, tokens } of this.#debits) {
      const from = Math.max(atMs, this.#queueAtMs);
      this.#queueTokens = this.queueTokens(from) + tokens;
      this.#queueAtMs = from;
    }
  }
}
