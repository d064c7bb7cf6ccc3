import { Agent, type AgentOptions, get } from 'node:http';
import { defaults } from '../contract/defaults.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { type Engine, engineNamed } from './table.js';

const loopback = (host: string) =>
  host === 'localhost' || host === '[::1]' || /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.test(host);

/**
 * A URL that readiness may be asked at: http on a loopback address, so that no worker's options turn the hive into a
 * scanner of the network. Throws INVALID_OPTION.
 */
export function checkReadyUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new HivepulseError(
      'INVALID_OPTION',
      '--ready-url',
      '--ready-url: expected a URL such as http://127.0.0.1:8080/health.',
    );
  }
  const why =
    url.protocol !== 'http:'
      ? 'only http: is asked'
      : url.username !== '' || url.password !== ''
        ? 'it must not hold a name or password'
        : !loopback(url.hostname)
          ? 'only loopback is asked: 127.0.0.1, [::1] or localhost'
          : null;
  if (why !== null) throw new HivepulseError('INVALID_OPTION', '--ready-url', `--ready-url is not allowed: ${why}.`);
  return url;
}

/** An address at which a server is asked; host without brackets. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

export interface ReadinessTarget {
  readonly id: string;
  /** Changes when another process has taken the name: pid and start time. */
  readonly identity: string;
  readonly readyUrl: string | null;
  readonly engine: Engine | null;
  /** Where it listens, first what is to be tried first; `none`: nowhere; null: it cannot be asked. */
  readonly server: readonly ServerAddress[] | 'none' | null;
}

/** Where a worker's readiness is asked; `none` where it listens nowhere, null where there is nothing to ask. */
export function probeUrl(target: Pick<ReadinessTarget, 'readyUrl' | 'engine' | 'server'>): string | null {
  if (target.readyUrl !== null) {
    try {
      return checkReadyUrl(target.readyUrl).href;
    } catch {
      return null;
    }
  }
  if (target.engine === null || target.server === null) return null;
  if (target.server === 'none') return 'none';
  const [address] = target.server;
  if (address === undefined) return null;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `http://${host}:${address.port}${engineNamed(target.engine).healthPath}`;
}

export interface ReadinessOptions {
  /** Between checks of a worker that is not ready, in ms (default 1000), and of one that is (default 10000). */
  readonly intervalMs?: number;
  readonly settledIntervalMs?: number;
  /** Deadline of one check in ms (default 1000), connection and answer together. */
  readonly timeoutMs?: number;
  /** CLOCK_MONOTONIC in ms. */
  readonly now?: () => number;
  /** Asks one URL: the status, or an error. */
  readonly probe?: (url: string, signal: AbortSignal) => Promise<number>;
}

/** A worker that was ready is believed through this many slow answers in a row; a refusal counts at once. */
const tolerated = 2;

interface State {
  readonly identity: string;
  readonly url: string;
  ready: boolean;
  reason: string;
  misses: number;
  dueMs: number;
  running: AbortController | null;
}

/**
 * Asks workers whether they are ready: each second until they are, then every ten. Nobody waits for it: `update` starts
 * the checks that are due and returns, `readyOf` gives the last answer.
 */
export class ReadinessProber {
  readonly #states = new Map<string, State>();
  readonly #intervalMs: number;
  readonly #settledMs: number;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #probe: (url: string, signal: AbortSignal) => Promise<number>;
  #agent: Agent | null = null;
  #closed = false;

  constructor(options: ReadinessOptions = {}) {
    this.#intervalMs = options.intervalMs ?? defaults.readinessIntervalMs;
    this.#settledMs = options.settledIntervalMs ?? defaults.readinessSettledIntervalMs;
    this.#timeoutMs = options.timeoutMs ?? defaults.readinessTimeoutMs;
    this.#now = options.now ?? (() => performance.now());
    this.#probe = options.probe ?? ((url, signal) => this.#ask(url, signal));
  }

  /** Takes the workers that there are now, at each tick. Starts the checks that are due, and forgets workers that are gone. */
  update(workers: readonly ReadinessTarget[]): void {
    if (this.#closed) return;
    const seen = new Set<string>();
    for (const target of workers) {
      const url = probeUrl(target);
      if (url === null) continue;
      seen.add(target.id);
      const known = this.#states.get(target.id);
      if (known && known.identity === target.identity && known.url === url) {
        if (known.running === null && this.#now() >= known.dueMs) void this.#check(known);
        continue;
      }
      known?.running?.abort();
      const state: State = {
        identity: target.identity,
        url,
        ready: false,
        reason: url === 'none' ? 'listens nowhere' : 'not asked yet',
        misses: 0,
        dueMs: 0,
        running: null,
      };
      this.#states.set(target.id, state);
      void this.#check(state);
    }
    for (const [id, state] of this.#states) {
      if (seen.has(id)) continue;
      state.running?.abort();
      this.#states.delete(id);
    }
  }

  /** true or false as the last check said (false before the first); null where there is nothing to ask. */
  readyOf(id: string): boolean | null {
    return this.#states.get(id)?.ready ?? null;
  }

  /** Why a worker is not ready: `ECONNREFUSED`, `timeout`, `status 503`; null where it is, or nothing is asked. */
  reasonOf(id: string): string | null {
    const state = this.#states.get(id);
    return state === undefined || state.ready ? null : state.reason;
  }

  async #check(state: State): Promise<void> {
    if (state.url === 'none') return;
    const running = new AbortController();
    state.running = running;
    const startedMs = this.#now();
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    let failure: string | null = null;
    try {
      const status = await this.#probe(state.url, AbortSignal.any([running.signal, deadline]));
      if (status < 200 || status > 299) failure = `status ${status}`;
    } catch (error) {
      failure = deadline.aborted ? 'timeout' : (systemCode(error) ?? (error as Error).message);
    }
    state.running = null;
    if (running.signal.aborted) return;
    if (failure === null) {
      state.ready = true;
      state.misses = 0;
    } else {
      state.reason = failure;
      state.misses += 1;
      // A busy engine may answer late; one that refuses, or says that it is not, is not ready.
      if (failure !== 'timeout' || state.misses > tolerated) state.ready = false;
    }
    const settled = state.ready && state.misses === 0;
    state.dueMs = startedMs + (settled ? this.#settledMs : this.#intervalMs);
  }

  /** GET without following redirects; the body is not read. `localhost` never leaves the loopback addresses. */
  #ask(url: string, signal: AbortSignal): Promise<number> {
    this.#agent ??= new Agent({ lookup: loopbackLookup } as AgentOptions);
    const agent = this.#agent;
    return new Promise((resolve, reject) => {
      const request = get(url, { agent, signal }, (response) => {
        resolve(response.statusCode ?? 0);
        response.on('error', () => undefined).destroy();
      });
      request.on('error', reject);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const state of this.#states.values()) state.running?.abort();
    this.#states.clear();
    this.#agent?.destroy();
  }
}

/** `localhost` is a loopback address, whatever a resolver says. */
const loopbackLookup = (
  _host: string,
  options: { all?: boolean | undefined },
  done: (error: Error | null, address: string | { address: string; family: number }[], family?: number) => void,
): void => {
  if (options.all) {
    done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]);
  } else done(null, '127.0.0.1', 4);
};
