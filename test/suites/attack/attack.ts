/** What an attack is, what it is aimed at, and what attacks are made of. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Agent, request } from 'undici';

export const gzipped = promisify(gzip);

/** Attackers come from another address of loopback than the honest ones, so that shares of addresses can be seen. */
export const attackerAddress = '127.0.0.66';

/** Tokens of the queen under attack; `none` sends none. */
export const tokens = {
  honestHive: 'honest-hive-token-0001',
  honestReader: 'honest-reader-token-01',
  anyHive: 'attacking-hive-token-1',
  boundHive: 'attacking-bound-token1',
  read: 'attacking-read-token-1',
  schedule: 'attacking-sched-token1',
} as const;
export type AttackerToken = 'anyHive' | 'boundHive' | 'read' | 'schedule' | 'none';

export const honestHive = 'honest';
/** The hive that `boundHive` may speak for. */
export const boundHive = 'attacker';

export interface Target {
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
  readonly run: (attacker: Attacker) => Promise<void>;
  /** The queen shares a NATS server. */
  readonly nats?: true;
  /** Open descriptors that the queen may have. */
  readonly descriptors?: number;
  /** Arguments of the queen. */
  readonly args?: readonly string[];
  /** Why it is still lost. */
  readonly lostBecause?: string;
}

type Body = string | Buffer;

/** One who attacks, for a limited time. */
export class Attacker {
  readonly target: Target;
  readonly #agents = new Map<number, Agent>();
  readonly #sockets = new Set<Socket>();
  readonly #until: number;
  #isClosing = false;
  /** Answers by status, `failed` for none; connections by what became of them. */
  readonly answers: Record<string, number> = {};

  constructor(target: Target, seconds: number) {
    this.target = target;
    this.#until = performance.now() + seconds * 1000;
  }

  get over(): boolean {
    return performance.now() >= this.#until;
  }

  #agentOf(connections: number): Agent {
    const known = this.#agents.get(connections);
    if (known !== undefined) return known;
    const agent = new Agent({ connections, pipelining: 1, connect: { localAddress: attackerAddress } });
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
          ...(as === 'none' ? {} : { authorization: `Bearer ${tokens[as]}` }),
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
  async socket(text: Body = '', { reads = false, from = attackerAddress } = {}): Promise<Socket | null> {
    const { hostname, port } = new URL(this.target.url);
    const socket = connect({ host: hostname, port: Number(port), localAddress: from });
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
    const token = as === 'none' ? {} : { authorization: `Bearer ${tokens[as]}` };
    const fields = Object.entries({ ...lines, ...token }).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n`;
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
