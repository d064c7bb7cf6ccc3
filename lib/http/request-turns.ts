import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/** What requests may take of one turn of the event loop, ms; the others wait for their turn. */
const turnMs = 5;
/**
 * While new connections arrive, requests wait so long, ms; from then on they have half of the time: after each as much goes to
 * connections, of which hundreds may be accepted while one costly request is answered.
 */
const acceptFirstMs = 100;

/** Calls once all that the work before it left to promises is done: promises that are kept come before what is next. */
const onceSettled = (then: () => void): void => queueMicrotask(() => process.nextTick(then));

interface Waiting {
  readonly sinceMs: number;
  readonly run: () => void;
}

/**
 * The order in which requests are answered. libuv accepts one connection in each turn of the event loop, so that one more
 * waits for as many turns as there are connections before it: turns are kept short, and new connections go first. What can't
 * be answered in this turn waits by caller, and callers take turns, so that one with 600 requests delays another by one. An
 * answer is made behind promises, most of it: until they are kept, none other begins.
 */
export class RequestTurns {
  readonly #now: () => number;
  readonly #soon: (run: () => void) => void;
  readonly #settled: (then: () => void) => void;
  /** The caller whose turn is next comes first. */
  readonly #waiting = new Map<string, Waiting[]>();
  #beganMs: number | null = null;
  #hasAccepted = false;
  #isAccepting = false;
  /** What had its turn last is not done yet. */
  #isRunning = false;
  /** Until then the time is that of new connections, where some arrive. */
  #acceptUntilMs = Number.NEGATIVE_INFINITY;

  constructor(
    options: {
      now?: () => number;
      /** Runs something once the sockets of this turn have been looked at. */
      soon?: (run: () => void) => void;
      /** Calls once all that was begun is done, but for what waits for files, sockets and timers. */
      settled?: (then: () => void) => void;
    } = {},
  ) {
    this.#now = options.now ?? (() => performance.now());
    this.#soon = options.soon ?? ((run) => void setImmediate(run));
    this.#settled = options.settled ?? onceSettled;
  }

  /** A connection was accepted. */
  accepted(): void {
    this.#hasAccepted = true;
    this.#isAccepting = true;
    this.#begin();
  }

  /** At once where this turn has room, else later. */
  take(callerOf: () => string, run: () => void): void {
    const nowMs = this.#begin();
    const isFree = this.#waiting.size === 0 && !this.#isRunning && !this.#isAccepting;
    if (isFree && nowMs - (this.#beganMs as number) < turnMs) {
      this.#run(run);
      return;
    }
    const caller = callerOf();
    const own = this.#waiting.get(caller);
    if (own === undefined) this.#waiting.set(caller, [{ sinceMs: nowMs, run }]);
    else own.push({ sinceMs: nowMs, run });
  }

  #begin(): number {
    const nowMs = this.#now();
    if (this.#beganMs === null) {
      this.#beganMs = nowMs;
      this.#soon(() => this.#end());
    }
    return nowMs;
  }

  /** All sockets have been looked at: those who wait have their turn. */
  #end(): void {
    const beganMs = this.#now();
    this.#isAccepting = this.#hasAccepted;
    this.#hasAccepted = false;
    this.#beganMs = null;
    this.#answer(beganMs);
  }

  /** Those who wait, one after the other, for as long as a turn that began then may take. */
  #answer(beganMs: number): void {
    const nowMs = this.#now();
    const isTheirs = !this.#isAccepting || (nowMs >= this.#acceptUntilMs && this.#isOverdue(nowMs));
    const next = isTheirs && nowMs - beganMs < turnMs ? this.#next() : undefined;
    if (next !== undefined)
      this.#run(next.run, () => {
        const endMs = this.#now();
        if (this.#isAccepting) this.#acceptUntilMs = endMs + (endMs - nowMs);
        this.#answer(beganMs);
      });
    // Whoever waits is looked at again in the next turn, and so is whether connections still arrive.
    else if (this.#waiting.size > 0 || this.#isAccepting) this.#begin();
  }

  #run(run: () => void, then?: () => void): void {
    this.#isRunning = true;
    try {
      run();
    } finally {
      this.#settled(() => {
        this.#isRunning = false;
        then?.();
      });
    }
  }

  #isOverdue(nowMs: number): boolean {
    for (const [first] of this.#waiting.values())
      if (first !== undefined && nowMs - first.sinceMs > acceptFirstMs) return true;
    return false;
  }

  #next(): Waiting | undefined {
    for (const [caller, own] of this.#waiting) {
      this.#waiting.delete(caller);
      const next = own.shift();
      if (own.length > 0) this.#waiting.set(caller, own);
      return next;
    }
    return undefined;
  }
}

/** Requests of a server, all but the first of a busy turn, are answered in turns of those who ask. */
export function answerInTurns(
  server: Server,
  turns: RequestTurns,
  callerOf: (request: IncomingMessage) => string,
): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.prependListener('connection', () => turns.accepted());
  server.on('request', (request: IncomingMessage, response: ServerResponse) =>
    turns.take(
      () => callerOf(request),
      () => {
        // Who has left meanwhile costs nothing more.
        if (!request.socket.destroyed) for (const handle of handlers) handle.call(server, request, response);
      },
    ),
  );
}
