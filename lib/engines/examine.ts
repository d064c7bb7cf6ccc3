import type { NullReason } from '../contract/enums.js';
import { systemCode } from '../util/errors.js';
import type { Answer, ModelsQuestion } from './answer.js';
import { type Asker, type Connect, isOtherProtocol, isTlsAlert, type Scheme, type ServerAddress } from './ask.js';
import { KeptConnection } from './connection.js';
import { type Engine, engineNamed } from './table.js';

/** A server to be asked. */
export interface Server {
  /** What it must answer as; null where that is not known: then only TLS is tried. */
  readonly engine: Engine | null;
  /** A process that was started as this engine holds the socket. */
  readonly held: boolean;
  /** Ways to the socket and to no other, first what is to be tried first. */
  readonly addresses: readonly ServerAddress[];
  readonly connect?: Connect | undefined;
  /** Nothing but its answer speaks for it: it has to list models too, since many programs have a version. */
  readonly guessed?: true | undefined;
}

export type Unclear = Extract<
  NullReason,
  'keyNeeded' | 'certificateNeeded' | 'serverUnreachable' | 'serverUnknown' | 'noAnswerYet'
>;

/** What is known of a server by its own answers. */
export interface Finding {
  /** null: it has not answered yet. */
  readonly scheme: Scheme | null;
  /** It answers as its engine. null: not asked, or no answer yet that shows it. */
  readonly own: boolean | null;
  /** It can serve; null where nobody can say. */
  readonly ready: boolean | null;
  /** Why it is not ready, or not known to be: `ECONNREFUSED`, `timeout`, `status 503`. */
  readonly reason: string | null;
  /** Why nobody can say whether it is ready; null where somebody can. */
  readonly unclear: Unclear | null;
  /** It took the connection and did not answer in time. */
  readonly silent: boolean;
  /** The host of the address at which it answered last. */
  readonly host?: string;
  /** Names of models by its own answer; left out where it was not asked for them, or did not say. */
  readonly models?: readonly string[];
}

export const unasked: Finding = {
  scheme: null,
  own: null,
  ready: null,
  reason: 'not asked yet',
  unclear: 'noAnswerYet',
  silent: false,
};

/** The hive could not get there, which says nothing of the server. */
const unreachable: ReadonlySet<string> = new Set(
  'EPERM EACCES ENOTSUP ESTALE ENOENT ESRCH EBUSY EMFILE ENFILE'.split(' '),
);

/** Reason of a signal that ends a check whose time is over. One signal for both: joined ones cost more than the request. */
export const late = new Error('timeout');

export const isUnreachable = (code: string): boolean => unreachable.has(code);

/**
 * Asks a server once, until `signal` aborts; `known`: what earlier answers said; `unnamed`: no argument names its model, so it
 * is asked for the names. Rejects only where the signal says that nobody waits for it.
 */
export async function examine(
  asker: Asker,
  server: Server,
  known: Finding,
  signal: AbortSignal,
  unnamed = false,
): Promise<Finding> {
  let failure: Finding = {
    ...known,
    ready: server.engine === null ? null : false,
    reason: 'no address',
    unclear: server.engine === null ? 'serverUnknown' : null,
    silent: false,
  };
  for (const address of server.addresses) {
    const examination = server.engine && new Examination(asker, server, server.engine, address, signal);
    try {
      const found = await (examination?.run(known, unnamed) ?? tryTls(asker, server, address, signal));
      return { ...found, host: address.host };
    } catch (error) {
      if (signal.aborted && signal.reason !== late) throw signal.reason;
      if (isTlsAlert(error)) return { ...known, ...mutual, host: address.host };
      // What it has answered until then counts: the next check goes on from there, however slow server or hive are.
      if (signal.aborted) return { ...failure, ...examination?.learned, reason: 'timeout', silent: true };
      failure = failedBy(failure, systemCode(error) ?? (error as Error).message);
      // Its other addresses are in the same namespace.
      if (failure.ready === null && server.connect !== undefined) return failure;
    } finally {
      examination?.close();
    }
  }
  return failure;
}

const mutual = {
  scheme: 'https',
  ready: null,
  reason: 'it asks for a certificate',
  unclear: 'certificateNeeded',
  silent: false,
} as const;

function failedBy(before: Finding, reason: string): Finding {
  const failed = { ...before, reason, silent: reason === 'ETIMEDOUT' };
  return isUnreachable(reason) ? { ...failed, ready: null, unclear: 'serverUnreachable' } : failed;
}

async function tryTls(
  asker: Asker,
  { connect }: Server,
  address: ServerAddress,
  signal: AbortSignal,
): Promise<Finding> {
  const scheme = (await asker.offersTls(address, signal, connect)) ? 'https' : 'http';
  return { scheme, own: null, ready: null, reason: null, unclear: 'serverUnknown', silent: false };
}

/** The key is the operator's, and the hive has none: without it nobody can say what the server would answer. */
const asksForKey = ({ status }: Answer): boolean => status === 401 || status === 403;

/** One look at an engine's server at one address. */
class Examination {
  readonly #asker: Asker;
  readonly #server: Server;
  readonly #engine: Engine;
  readonly #address: ServerAddress;
  readonly #signal: AbortSignal;
  #scheme: Scheme = 'http';
  /** Several questions in a row share a connection: with TLS each has a handshake, which is most of the work. */
  #kept: KeptConnection | undefined;
  /** What answers have shown so far. */
  learned: Partial<Pick<Finding, 'scheme' | 'own' | 'host'>> = {};

  constructor(asker: Asker, server: Server, engine: Engine, address: ServerAddress, signal: AbortSignal) {
    this.#asker = asker;
    this.#server = server;
    this.#engine = engine;
    this.#address = address;
    this.#signal = signal;
  }

  async run(known: Finding, unnamed: boolean): Promise<Finding> {
    this.#scheme = known.scheme ?? 'http';
    if (known.own !== true || unnamed) this.#kept = new KeptConnection();
    // One that was another program's may be its own by now: the answer is asked for again.
    const own = known.own === true || (await this.#isOwn());
    if (own !== true) {
      const reason = own === false ? 'another program answers' : `status ${own.status}`;
      const found = { scheme: this.#scheme, own: own === false ? false : null, ready: false, reason } as const;
      return { ...found, unclear: null, silent: false };
    }
    this.#learn({ own, scheme: this.#scheme });
    const answer = await this.#get(engineNamed(this.#engine).healthPath);
    const { status } = answer;
    const ready = asksForKey(answer) ? null : status >= 200 && status <= 299;
    // An engine knows its own path: what doesn't is another program by now.
    const still = status === 404 ? null : true;
    const reason = ready ? null : `status ${status}`;
    const unclear = ready === null ? 'keyNeeded' : null;
    const found: Finding = { scheme: this.#scheme, own: still, ready, reason, unclear, silent: false };
    const models = unnamed && still ? await this.#models() : null;
    return models === null ? found : { ...found, models };
  }

  /** null: it does not say. Whether it is ready does not depend on that. */
  async #models(): Promise<readonly string[] | null> {
    const question: ModelsQuestion | undefined = engineNamed(this.#engine).models;
    if (question === undefined) return null;
    const answer = await this.#get(question.path).catch(() => null);
    return answer?.status === 200 ? question.names(answer.json) : null;
  }

  /** The answer by which it says that it cannot tell now, where it does. */
  async #isOwn(): Promise<boolean | Answer> {
    let pending: Answer | null = null;
    for (const { path, is } of engineNamed(this.#engine).identity) {
      const answer = await this.#get(path);
      if (is(answer)) return this.#server.guessed !== true || ((await this.#models()) ?? []).length > 0;
      // Then its process is the evidence.
      if (asksForKey(answer) && this.#server.held) return true;
      if (answer.status >= 500) pending = answer;
    }
    return pending ?? false;
  }

  close(): void {
    this.#kept?.close();
  }

  #learn(what: Partial<Pick<Finding, 'scheme' | 'own'>>): void {
    this.learned = { ...this.learned, ...what, host: this.#address.host };
  }

  /** By the scheme that is known; without one, TLS is tried where the answer is none of HTTP. */
  async #get(path: string): Promise<Answer> {
    const ways = { connect: this.#server.connect, kept: this.#kept };
    const get = () => this.#asker.get(this.#scheme, this.#address, path, this.#signal, ways);
    if (this.#scheme === 'https') return get();
    try {
      const answer = await get();
      // Some say in HTTP that they expect TLS.
      if (answer.status !== 400 || !(await this.#offersTls())) return answer;
    } catch (error) {
      if (!isOtherProtocol(error) || !(await this.#offersTls())) throw error;
    }
    this.#scheme = 'https';
    this.#learn({ scheme: 'https' });
    this.#kept?.close();
    return get();
  }

  #offersTls(): Promise<boolean> {
    return this.#asker.offersTls(this.#address, this.#signal, this.#server.connect);
  }
}
