import { defaults } from '../contract/defaults.js';
import type { ServingReason } from '../contract/enums.js';
import { systemCode } from '../util/errors.js';
import { type Asker, type Connect, type PathQuestion, SystemAsker } from './ask.js';
import { examine, type Finding, isUnreachable, late, type Server, type Unclear, unasked } from './examine.js';
import { engineNamed } from './table.js';

/** A server of a worker that may be its public one. */
export interface Candidate extends Server {
  /** Other sockets have another key. */
  readonly key: string;
}

/** Inside of another network namespace. */
export interface UrlWay {
  readonly connect?: Connect;
  /** The loopback address that `localhost` is there. */
  readonly localhost?: string;
}

export interface ProbeTarget {
  readonly id: string;
  /** Changes when another process has taken the name: pid and start time. */
  readonly identity: string;
  /** Where the operator says that it is asked: any 2xx counts. */
  readonly readyUrl: URL | null;
  /** How that URL is asked, where not as it is. */
  readonly urlWay: UrlWay | null;
  /** Where it may serve; `none`: it listens nowhere; null: it cannot be asked. */
  readonly servers: readonly Candidate[] | 'none' | null;
  /** Its processes or GPUs work: silence is no standstill. */
  readonly working: boolean;
  /** Nothing names its model: its server is asked. */
  readonly unnamed: boolean;
  /** Its processes, the same list as long as they are the same. */
  readonly processes: object | null;
  /** Why its engine does not report its load; null where it does. */
  readonly loadReason: ServingReason | null;
}

export interface ProberOptions {
  /** Between checks of a server that is not ready, ms (default 1000). */
  readonly intervalMs?: number;
  /** Of one that is settled, about which something else has changed (default 5000). */
  readonly changedIntervalMs?: number;
  /** Of one that is settled (default 30,000), and of which nothing else shows a change: a name or a URL of the operator's (default 10,000). */
  readonly settledIntervalMs?: number;
  readonly aloneIntervalMs?: number;
  /** Deadline of one check in ms (default 1000), connections and answers together. */
  readonly timeoutMs?: number;
  /** CLOCK_MONOTONIC in ms. */
  readonly now?: () => number;
  /** As Math.random: checks of many workers spread over their interval. */
  readonly random?: () => number;
  readonly asker?: Asker;
}

/** A server that was ready is believed through this many silences in a row, though nothing works; a refusal counts at once. */
const tolerated = 2;

interface Check {
  finding: Finding;
  silences: number;
  startedMs: number;
  dueMs: number;
  running: Pick<AbortController, 'abort'> | null;
}

/** A check that most likely finds what it found before. */
interface Recheck {
  readonly target: ProbeTarget;
  readonly key: string;
  readonly check: Check;
  readonly question: PathQuestion;
}

/** Its answer comes soon by itself. */
const unstoppable = { abort: () => undefined } as const;

interface State {
  readonly identity: string;
  readonly servers: ProbeTarget['servers'];
  readonly readyUrl: string | null;
  readonly localhost: string | undefined;
  readonly checks: ReadonlyMap<string, Check>;
  processes: object | null;
  loadReason: ServingReason | null;
  findings: ReadonlyMap<string, Finding>;
  /** In which it was there last. */
  update: number;
}

const urlKey = 'url';

/**
 * Asks workers' servers what they are and whether they are ready: each second until they are, then when their sockets or
 * processes have changed or their load is not said any more, and else rarely. Nobody waits for it: `update` starts the checks
 * that are due and returns; the rest gives the last answers.
 */
export class Prober {
  readonly #states = new Map<string, State>();
  readonly #options: Required<ProberOptions>;
  #updates = 0;
  #closed = false;

  constructor(options: ProberOptions = {}) {
    this.#options = {
      intervalMs: defaults.readinessIntervalMs,
      changedIntervalMs: defaults.readinessChangedIntervalMs,
      settledIntervalMs: defaults.readinessSettledIntervalMs,
      aloneIntervalMs: defaults.readinessAloneIntervalMs,
      timeoutMs: defaults.readinessTimeoutMs,
      now: () => performance.now(),
      random: Math.random,
      asker: new SystemAsker(),
      ...options,
    };
  }

  /** Takes the workers that there are now, at each tick. Starts the checks that are due, and forgets workers that are gone. */
  update(workers: readonly ProbeTarget[]): void {
    if (this.#closed) return;
    this.#updates += 1;
    let known = 0;
    const now = this.#options.now();
    const rechecks: Recheck[] = [];
    for (const target of workers) {
      if (target.readyUrl === null && target.servers === null) continue;
      const state = this.#stateOf(target);
      if (state.update !== this.#updates) known += 1;
      state.update = this.#updates;
      for (const [key, check] of state.checks) {
        if (check.running !== null || now < check.dueMs) continue;
        const question = questionOf(target, key, check);
        if (question === null) void this.#check(target, key, check);
        else rechecks.push({ target, key, check, question });
      }
    }
    this.#recheck(rechecks);
    if (known === this.#states.size) return;
    for (const [id, state] of this.#states) {
      if (state.update === this.#updates) continue;
      abort(state);
      this.#states.delete(id);
    }
  }

  /** The last answer; false before the first. null where there is nothing to ask, or nobody can say. */
  readyOf(id: string): boolean | null {
    const state = this.#states.get(id);
    if (state === undefined) return null;
    if (state.servers === 'none' && state.readyUrl === null) return false;
    const all = relevant(state);
    if (all.some(({ ready }) => ready === true)) return true;
    return all.some(({ ready }) => ready === false) ? false : null;
  }

  /** Why nobody can say whether a worker is ready; null where somebody can, or nothing is asked. */
  unclearOf(id: string): Unclear | null {
    const state = this.#states.get(id);
    if (state === undefined || this.readyOf(id) !== null) return null;
    return relevant(state).find(({ ready }) => ready === null)?.unclear ?? 'noAnswerYet';
  }

  /** Why a worker is not ready; null where it is, or nothing is asked. */
  reasonOf(id: string): string | null {
    const state = this.#states.get(id);
    if (state === undefined || this.readyOf(id) === true) return null;
    if (state.servers === 'none' && state.readyUrl === null) return 'listens nowhere';
    return relevant(state).find(({ ready }) => ready !== true)?.reason ?? null;
  }

  /**
   * What each candidate answered, by its key; the same map as long as nothing about identity, scheme or address changes, nor
   * whether anybody can say if it is ready.
   */
  findingsOf(id: string): ReadonlyMap<string, Finding> {
    return this.#states.get(id)?.findings ?? none;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const state of this.#states.values()) abort(state);
    this.#states.clear();
    this.#options.asker.close?.();
  }

  /** Whether servers that were ready still are, all at once; of those that do not say so all is asked anew. */
  #recheck(rechecks: readonly Recheck[]): void {
    const { now, timeoutMs, asker } = this.#options;
    if (rechecks.length === 0) return;
    const statuses = asker.statuses ?? null;
    if (statuses === null) {
      for (const { target, key, check } of rechecks) void this.#check(target, key, check);
      return;
    }
    for (const { check } of rechecks) Object.assign(check, { running: unstoppable, startedMs: now() });
    const take = (found: readonly number[]): void => {
      for (const [i, { target, key, check }] of rechecks.entries()) {
        check.running = null;
        if (isSuccess(found[i] ?? 0)) check.dueMs = this.#settledDue(target, key, check);
        else if (this.#states.get(target.id)?.checks.get(key) === check) void this.#check(target, key, check);
      }
    };
    const questions = rechecks.map(({ question }) => question);
    statuses(questions, timeoutMs).then(take, () => take([]));
  }

  #stateOf(target: ProbeTarget): State {
    const { id, identity, servers, readyUrl, processes, loadReason } = target;
    const before = this.#states.get(id);
    const url = readyUrl?.href ?? null;
    // Asked elsewhere, another may answer.
    const localhost = target.urlWay?.localhost;
    const same = before?.identity === identity;
    if (same && (before.processes !== processes || before.loadReason !== loadReason)) this.#hasten(before);
    const sameUrl = before?.readyUrl === url && before.localhost === localhost;
    if (same && before.servers === servers && sameUrl) {
      before.processes = processes;
      before.loadReason = loadReason;
      return before;
    }
    const checks = new Map<string, Check>();
    const keys = [...(readyUrl ? [urlKey] : []), ...(Array.isArray(servers) ? servers.map(({ key }) => key) : [])];
    for (const key of keys) {
      const known = same && (key !== urlKey || sameUrl) ? before.checks.get(key) : undefined;
      checks.set(key, known ?? { finding: first(target, key), silences: 0, startedMs: 0, dueMs: 0, running: null });
    }
    if (before !== undefined)
      for (const [key, check] of before.checks) if (checks.get(key) !== check) check.running?.abort();
    const known = { identity, servers, readyUrl: url, localhost, processes, loadReason };
    const state: State = { ...known, checks, findings: findingsIn(checks), update: 0 };
    this.#states.set(id, state);
    return state;
  }

  /** Something about the worker has changed: what it answered may not hold any more. */
  #hasten({ checks }: State): void {
    for (const check of checks.values())
      check.dueMs = Math.min(check.dueMs, check.startedMs + this.#options.changedIntervalMs);
  }

  async #check(target: ProbeTarget, key: string, check: Check): Promise<void> {
    const { now, timeoutMs } = this.#options;
    const running = new AbortController();
    check.running = running;
    check.startedMs = now();
    // What has come meanwhile is read first: where this process was held up, the answer may only wait to be taken.
    const timer = setTimeout(() => setImmediate(() => running.abort(late)), timeoutMs);
    const found = await this.#ask(target, key, check.finding, running.signal).catch(() => null);
    clearTimeout(timer);
    check.running = null;
    if (found === null) return; // nobody waits for it
    check.silences = found.silent ? check.silences + 1 : 0;
    const believed = found.silent && check.finding.ready === true && (target.working || check.silences <= tolerated);
    const before = check.finding;
    check.finding = believed ? { ...found, ready: true, unclear: null } : found;
    const isOpen = found.own !== true && serverNamed(target.servers, key)?.guessed === true;
    const settled =
      !isOpen &&
      !found.silent &&
      (found.ready === true || found.own === false || (found.ready === null && found.scheme !== null));
    const { intervalMs, changedIntervalMs } = this.#options;
    // What may be another program's is not asked as often.
    const pendingMs = isOpen ? changedIntervalMs : intervalMs;
    check.dueMs = settled ? this.#settledDue(target, key, check) : check.startedMs + pendingMs;
    const current = this.#states.get(target.id);
    if (current?.checks.get(key) !== check) return;
    if (!isSamePlace(before, check.finding)) current.findings = findingsIn(current.checks);
  }

  /** In groups, five to the interval: nothing hurries, and of many checks in a row each costs a fraction of one alone. */
  #settledDue({ unnamed }: ProbeTarget, key: string, { startedMs }: Check): number {
    const { settledIntervalMs, aloneIntervalMs, random } = this.#options;
    const intervalMs = key === urlKey || unnamed ? aloneIntervalMs : settledIntervalMs;
    const groupMs = intervalMs / 5;
    return Math.round((startedMs + intervalMs * (0.75 + random() / 2)) / groupMs) * groupMs;
  }

  async #ask(
    { readyUrl, urlWay, servers, unnamed }: ProbeTarget,
    key: string,
    known: Finding,
    signal: AbortSignal,
  ): Promise<Finding> {
    const { asker } = this.#options;
    if (key === urlKey) return askUrl(asker, readyUrl as URL, urlWay ?? {}, signal);
    return examine(asker, serverNamed(servers, key) as Candidate, known, signal, unnamed);
  }
}

const none: ReadonlyMap<string, Finding> = new Map();

const serverNamed = (servers: ProbeTarget['servers'], key: string): Candidate | undefined =>
  servers === null || servers === 'none' ? undefined : servers.find((each) => each.key === key);

const isSuccess = (status: number): boolean => status >= 200 && status <= 299;

/** What shows at the least cost that a server is as ready as it was; null where more is to be asked of it. */
function questionOf({ servers, unnamed }: ProbeTarget, key: string, { finding, silences }: Check): PathQuestion | null {
  const server = serverNamed(servers, key);
  if (server === undefined || server.engine === null || server.connect !== undefined || unnamed) return null;
  const { own, ready, scheme, host } = finding;
  if (own !== true || ready !== true || scheme !== 'http' || silences > 0) return null;
  const address = server.addresses.find((each) => each.host === host);
  return address === undefined ? null : { address, path: engineNamed(server.engine).healthPath };
}

/** Nothing has changed that endpoints and names are made of. */
const isSamePlace = (a: Finding, b: Finding): boolean =>
  a.own === b.own &&
  a.scheme === b.scheme &&
  a.host === b.host &&
  (a.ready === null) === (b.ready === null) &&
  a.models?.join('\n') === b.models?.join('\n');

const first = ({ servers, urlWay }: ProbeTarget, key: string): Finding => {
  const server = serverNamed(servers, key);
  // Whether it can be asked in another network namespace shows when it is.
  const isAsked = key === urlKey ? urlWay?.connect === undefined : server?.engine && server.connect === undefined;
  return isAsked ? { ...unasked, ready: false, unclear: null } : unasked;
};

function findingsIn(checks: ReadonlyMap<string, Check>): ReadonlyMap<string, Finding> {
  return new Map([...checks].filter(([key]) => key !== urlKey).map(([key, { finding }]) => [key, finding]));
}

/** What decides on readiness: the operator's URL, else what answers as its engine, else all. */
function relevant({ checks }: State): readonly Finding[] {
  const url = checks.get(urlKey);
  if (url !== undefined) return [url.finding];
  const all = [...checks.values()].map(({ finding }) => finding);
  const own = all.filter((finding) => finding.own === true);
  return own.length > 0 ? own : all;
}

function abort({ checks }: State): void {
  for (const { running } of checks.values()) running?.abort();
}

/** GET without following redirects; the answer's body does not count. */
async function askUrl(
  asker: Asker,
  url: URL,
  { connect, localhost = 'localhost' }: UrlWay,
  signal: AbortSignal,
): Promise<Finding> {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const host = name === 'localhost' ? localhost : name;
  const port = url.port === '' ? 80 : Number(url.port);
  const ask = { ...unasked, scheme: 'http' as const, unclear: null };
  try {
    const { status } = await asker.get('http', { host, port }, `${url.pathname}${url.search}`, signal, { connect });
    const ready = isSuccess(status);
    return { ...ask, ready, reason: ready ? null : `status ${status}` };
  } catch (error) {
    if (signal.reason === late) return { ...ask, ready: false, reason: 'timeout', silent: true };
    signal.throwIfAborted();
    const reason = systemCode(error) ?? (error as Error).message;
    if (connect !== undefined && isUnreachable(reason)) return { ...ask, unclear: 'serverUnreachable', reason };
    return { ...ask, ready: false, reason };
  }
}
