/** What an attack is, what it is aimed at, and what attacks are made of. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { constants, deflateRaw, gzip } from 'node:zlib';
import { Agent, request } from 'undici';

export const gzipped = promisify(gzip);
const deflated = promisify(deflateRaw);

/** Gzip that inflates to so many MiB of spaces. One block is made, and repeated; nobody should get as far as to the sum at the end. */
export async function bomb(mebibytes: number): Promise<Buffer> {
  const header = Buffer.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3);
  const block = await deflated(Buffer.alloc(1024 * 1024, 0x20), { finishFlush: constants.Z_FULL_FLUSH, level: 9 });
  return Buffer.concat([header, ...Array.from({ length: mebibytes }, () => block), Buffer.of(3, 0), Buffer.alloc(8)]);
}

/**
 * Who takes part in an attack. A queen is attacked several times, each time by others and beside others, so that nobody pays
 * for what those before did.
 */
export interface Parties {
  /** Of the attackers: another one of loopback than that of the honest ones, so that shares of addresses can be seen. */
  readonly address: string;
  readonly honestHive: string;
  /** An honest hive too, which comes after the attack has begun. */
  readonly newHive: string;
  /** The hive that `boundHive` may speak for. */
  readonly boundHive: string;
  readonly tokens: Readonly<Record<'honestHive' | 'honestReader' | 'newHive' | Exclude<AttackerToken, 'none'>, string>>;
}
/** Tokens of the queen under attack; `none` sends none. */
export type AttackerToken = 'anyHive' | 'boundHive' | 'read' | 'schedule' | 'none';

/** So often a queen is attacked at most. */
export const turnsOfQueen = 20;

export const partiesOf = (turn: number): Parties => {
  const token = (name: string) => `${name}-token-`.padEnd(30, '0') + turn;
  return {
    address: `127.0.0.${100 + turn}`,
    honestHive: `honest-${turn}`,
    newHive: `new-${turn}`,
    boundHive: `attacker-${turn}`,
    tokens: {
      honestHive: token('honest-hive'),
      honestReader: token('honest-reader'),
      newHive: token('honest-new-hive'),
      anyHive: token('attacking-hive'),
      boundHive: token('attacking-bound'),
      read: token('attacking-read'),
      schedule: token('attacking-schedule'),
    },
  };
};

/** Lines of the tokens file of a queen. */
export const tokensFile = (): string =>
  Array.from({ length: turnsOfQueen }, (_, turn) => {
    const { tokens, honestHive, newHive, boundHive } = partiesOf(turn);
    return [
      `hive ${tokens.honestHive} ${honestHive}`,
      `hive ${tokens.newHive} ${newHive}`,
      `read ${tokens.honestReader}`,
      `hive ${tokens.anyHive}`,
      `hive ${tokens.boundHive} ${boundHive}`,
      `read ${tokens.read}`,
      `schedule ${tokens.schedule}`,
    ];
  })
    .flat()
    .join('\n');

export interface Target {
  /** Whose turn it is; see `partiesOf`. */
  readonly turn: number;
  readonly url: string;
  /** Where the queen shares a NATS server. */
  readonly natsUrl: string | null;
  /** The incarnation of the honest hive, which every reader of the fleet sees. */
  readonly incarnation: string;
  /** A GPU of the honest hive. */
  readonly gpu: string;
}

export interface Attack {
  readonly name: string;
  /** The kind of fault it looks for; see docs/security.md. */
  readonly kind: 'input' | 'identity' | 'memory' | 'shares' | 'site';
  /** What must be there before; its time does not count. */
  readonly prepare?: (attacker: Attacker) => Promise<void>;
  readonly run: (attacker: Attacker) => Promise<void>;
  /** The queen shares a NATS server. */
  readonly nats?: true;
  /** Open descriptors that the queen may have. */
  readonly descriptors?: number;
  /** Arguments of the queen. */
  readonly args?: readonly string[];
  /** It has a queen for itself: it fills what all attackers of one share. So has every one of kind `memory`. */
  readonly isAlone?: true;
  /** It comes from the address of the honest ones. */
  readonly sharesAddress?: true;
  /** It keeps no core busy: meanwhile the queen of the next is started. */
  readonly waits?: true;
}

type Body = string | Buffer;

/** For so long beyond its time an attack may go on; what is unanswered then is let go of, as by a client that leaves. */
const graceMs = 200;

/** One who attacks, for a limited time. */
export class Attacker {
  readonly target: Target;
  readonly honestHive: string;
  readonly boundHive: string;
  readonly #parties: Parties;
  /** Where its connections come from. */
  readonly #from: { readonly localAddress?: string };
  readonly #agents = new Map<number, Agent>();
  readonly #sockets = new Set<Socket>();
  #until = Number.POSITIVE_INFINITY;
  #isClosing = false;
  /** Answers by status, `failed` for none; connections by what became of them. */
  readonly answers: Record<string, number> = {};

  constructor(target: Target, { sharesAddress }: Pick<Attack, 'sharesAddress'>) {
    this.target = target;
    this.#parties = partiesOf(target.turn);
    this.#from = sharesAddress ? {} : { localAddress: this.#parties.address };
    ({ honestHive: this.honestHive, boundHive: this.boundHive } = this.#parties);
  }

  /** From now on it has so long. */
  limit(seconds: number): void {
    this.#until = performance.now() + seconds * 1000;
  }

  get over(): boolean {
    return performance.now() >= this.#until;
  }

  #agentOf(connections: number): Agent {
    const known = this.#agents.get(connections);
    if (known !== undefined) return known;
    const agent = new Agent({ connections, pipelining: 1, ...this.#from });
    this.#agents.set(connections, agent);
    return agent;
  }

  /** One request; gives its status, 0 where no answer came. */
  async send(
    path: string,
    options: {
      readonly method?: 'GET' | 'POST' | 'DELETE' | 'OPTIONS' | 'HEAD';
      readonly body?: Body;
      readonly headers?: Readonly<Record<string, string>>;
      readonly as?: AttackerToken;
      readonly connections?: number;
    } = {},
  ): Promise<number> {
    const { method = options.body === undefined ? 'GET' : 'POST', body, headers = {}, as = 'none' } = options;
    let status = 0;
    try {
      const answer = await request(`${this.target.url}${path}`, {
        method,
        dispatcher: this.#agentOf(options.connections ?? 8),
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(as === 'none' ? {} : { authorization: `Bearer ${this.#parties.tokens[as]}` }),
          ...headers,
        },
        ...(body === undefined ? {} : { body }),
        headersTimeout: 5000,
      });
      status = answer.statusCode;
      await answer.body.dump();
    } catch {
      // An attacker who is refused goes on.
    }
    this.#count(status === 0 ? 'failed' : String(status));
    return status;
  }

  heartbeat(value: unknown, as: AttackerToken = 'anyHive'): Promise<number> {
    return this.send('/v1/heartbeats', { body: JSON.stringify(value), as });
  }

  /** A body that is compressed already. */
  packed(body: Buffer, as: AttackerToken = 'anyHive'): Promise<number> {
    return this.send('/v1/heartbeats', { body, as, headers: { 'content-encoding': 'gzip' } });
  }

  /** The same again and again, so many at once, until the time is over. */
  async flood(atOnce: number, one: (turn: number) => Promise<unknown>): Promise<void> {
    let turn = 0;
    const lane = async () => {
      while (!this.over) {
        await one(turn++);
        // What is refused at once must not keep the attacker's own loop busy.
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  }

  /** So many at once until there were `count`, or the time is over. */
  async times(count: number, atOnce: number, one: (turn: number) => Promise<unknown>): Promise<void> {
    let turn = 0;
    const lane = async () => {
      while (turn < count && !this.over) await one(turn++);
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  }

  /** A connection that says `text` and is then held. Null where it was refused. */
  async socket(text: Body = '', { reads = false } = {}): Promise<Socket | null> {
    if (this.#isClosing) return null;
    const { hostname, port } = new URL(this.target.url);
    const socket = connect({ host: hostname, port: Number(port), ...this.#from });
    socket.on('error', () => {});
    socket.once('close', () => this.#isClosing || this.#count('ended'));
    this.#sockets.add(socket);
    if (reads) socket.resume();
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(3000) });
    } catch {
      socket.destroy();
      return null;
    }
    if (text.length > 0) socket.write(text);
    return socket;
  }

  /** A request line with headers. */
  head(
    path: string,
    { as = 'none' as AttackerToken, method = 'GET', headers = {} as Record<string, string> } = {},
  ): string {
    const lines = { host: new URL(this.target.url).host, ...headers };
    const token = as === 'none' ? {} : { authorization: `Bearer ${this.#parties.tokens[as]}` };
    const fields = Object.entries({ ...lines, ...token }).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n`;
  }

  /** When the time is over, and a little more, for what is under way. */
  end(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#until - performance.now() + graceMs));
  }

  /** Waits until the time is over. */
  async hold(): Promise<void> {
    while (!this.over) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  #count(answer: string): void {
    this.answers[answer] = (this.answers[answer] ?? 0) + 1;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    for (const socket of this.#sockets) {
      if (!socket.destroyed) this.#count('held');
      socket.destroy();
    }
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }
}
