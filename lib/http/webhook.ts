import { createHmac, randomUUID } from 'node:crypto';
import { type Static, Type } from 'typebox';

/** Messages that wait at most; the oldest goes first where more come. */
export const maxWaiting = 100;
/** As many characters. */
const maxWaitingChars = 4 * 1024 * 1024;
/** A message is given up after so long, ms: what it says is old by then. */
const giveUpMs = 3_600_000;
const defaultDeadlineMs = 10_000;
const firstPauseMs = 1000;
const longestPauseMs = 60_000;

export interface WebhookOptions {
  readonly url: string;
  /** Null: messages are not signed. */
  readonly secret: string | null;
  readonly warn: (message: string) => void;
  readonly fetch?: typeof fetch;
  readonly wallClock?: () => number;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Gives what ends the wait. */
  readonly wait?: (ms: number, then: () => void) => () => void;
  /** Called where other messages wait than before. */
  readonly onChange?: () => void;
  /** Longest that an answer is waited for. */
  readonly deadlineMs?: number;
}

/** A message that waits. `madeAtMs`: wall clock. */
export const WebhookMessage = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  body: Type.String({ maxLength: maxWaitingChars }),
  madeAtMs: Type.Number({ minimum: 0 }),
});
export type WebhookMessage = Static<typeof WebhookMessage>;

/** `v1,<base64 of HMAC-SHA256>` over `id.timestamp.body`, as standardwebhooks.com has it; a secret `whsec_...` is Base64. Pure. */
export function signatureOf(secret: string, id: string, timestampSeconds: number, body: string): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
  const hmac = createHmac('sha256', key).update(`${id}.${timestampSeconds}.${body}`, 'utf8');
  return `v1,${hmac.digest('base64')}`;
}

const waitUnref = (ms: number, then: () => void): (() => void) => {
  const timer = setTimeout(then, ms).unref();
  return () => clearTimeout(timer);
};

/**
 * Posts messages to one address, in order, one at a time, until they are taken: at least once each, with an id by which the
 * receiver knows a repeated one. An answer of 4xx is final, but 408 and 429.
 */
export class Webhook {
  readonly #options: WebhookOptions &
    Required<Pick<WebhookOptions, 'fetch' | 'wallClock' | 'random' | 'wait' | 'onChange' | 'deadlineMs'>>;
  readonly #waiting: WebhookMessage[] = [];
  readonly #abort = new AbortController();
  #endWait: (() => void) | null = null;
  #sending = false;
  #failures = 0;
  #dropped = 0;

  constructor(options: WebhookOptions) {
    this.#options = {
      fetch: (input, init) => fetch(input, init),
      wallClock: Date.now,
      random: Math.random,
      wait: waitUnref,
      onChange: () => undefined,
      deadlineMs: defaultDeadlineMs,
      ...options,
    };
  }

  get waiting(): readonly WebhookMessage[] {
    return this.#waiting;
  }

  /** Takes over what waited before a restart: the receiver knows by its id what it has had. */
  adopt(messages: readonly WebhookMessage[]): void {
    this.#waiting.unshift(...messages);
    this.#start();
  }

  send(message: object): void {
    if (this.#abort.signal.aborted) return;
    const madeAtMs = this.#options.wallClock();
    this.#waiting.push({ id: randomUUID(), body: JSON.stringify(message), madeAtMs });
    // The one under way may be taken already.
    const first = this.#sending ? 1 : 0;
    for (let chars = this.#chars(); this.#waiting.length > first + 1; this.#dropped++) {
      if (this.#waiting.length <= maxWaiting && chars <= maxWaitingChars) break;
      chars -= this.#waiting.splice(first, 1)[0]!.body.length;
    }
    this.#options.onChange();
    this.#start();
  }

  #chars(): number {
    return this.#waiting.reduce((sum, { body }) => sum + body.length, 0);
  }

  #start(): void {
    if (!this.#sending && this.#endWait === null && this.#waiting.length > 0) void this.#run();
  }

  /** What still waits is not sent. */
  close(): void {
    this.#abort.abort();
    this.#endWait?.();
  }

  async #run(): Promise<void> {
    this.#endWait = null;
    this.#sending = true;
    while (this.#waiting.length > 0 && !this.#abort.signal.aborted) {
      const message = this.#waiting[0]!;
      const problem = await this.#post(message);
      if (this.#abort.signal.aborted) return;
      if (problem === null || problem.final || this.#options.wallClock() - message.madeAtMs >= giveUpMs) {
        this.#waiting.shift();
        this.#options.onChange();
        if (problem !== null) this.#options.warn(`a message to the webhook was given up: ${problem.text}`);
        this.#recovered(problem === null);
        continue;
      }
      // Not each time: a receiver that is away for a day would fill the log.
      if (this.#failures++ === 0) this.#options.warn(`the webhook does not take messages, trying on: ${problem.text}`);
      const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.#failures - 1, 10));
      this.#endWait = this.#options.wait(longest * (0.5 + this.#options.random() / 2), () => void this.#run());
      break;
    }
    this.#sending = false;
  }

  #recovered(taken: boolean): void {
    if (!taken) return;
    if (this.#failures > 0 || this.#dropped > 0)
      this.#options.warn(`the webhook takes messages again; ${this.#dropped} were left out meanwhile`);
    this.#failures = 0;
    this.#dropped = 0;
  }

  /** Null where it was taken. The address may be a secret, so no text has it. */
  async #post({ id, body }: WebhookMessage): Promise<{ readonly text: string; readonly final: boolean } | null> {
    const { url, secret, fetch, wallClock, deadlineMs } = this.#options;
    const timestamp = Math.floor(wallClock() / 1000);
    try {
      const reply = await fetch(url, {
        method: 'POST',
        body,
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          ...(secret !== null && { 'webhook-signature': signatureOf(secret, id, timestamp, body) }),
        },
        signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(deadlineMs)]),
      });
      // Unread bodies keep their connection. However that ends, it was answered.
      await reply.body?.cancel().catch(() => undefined);
      const { status } = reply;
      if (status >= 200 && status < 300) return null;
      return {
        text: `it answered ${status}`,
        final: status >= 300 && status < 500 && status !== 408 && status !== 429,
      };
    } catch (error) {
      const isTimeout = error instanceof Error && error.name === 'TimeoutError';
      return { text: isTimeout ? `no answer in ${deadlineMs / 1000} s` : 'it cannot be reached', final: false };
    }
  }
}
