import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createRequire } from 'node:module';
import type * as ws from 'ws';
import type { HeartbeatReply } from '../contract/heartbeat.js';
import { sentSchema } from '../contract/stream/codec.js';
import { ownSchema } from '../contract/stream/columns.js';
import {
  type Ack,
  helloOf,
  maxTextBytes,
  type QueenMessage,
  type Refused,
  readQueenMessage,
  subprotocol,
} from '../contract/stream/messages.js';
import type { Clock } from '../util/clock.js';
import type { ExchangeResponse } from './transport-http.js';

/** As an ES module it takes 6 MiB more of a process: its parts are looked through for names that they export. */
const { WebSocket } = createRequire(import.meta.url)('ws') as typeof ws;

/** An acknowledgement that is late by this shows that nobody is there any longer. */
export const ackMs = 3000;

/** What waits to be encrypted, or for a turn of the event loop, is no sign of a slow queen: some deltas of a hive of 100 workers. */
const mostHeldBytes = 16 * 1024;

export interface StreamTarget {
  readonly url: string;
  readonly agent: HttpAgent;
  readonly token: string | undefined;
  /** Of the newest connection over TLS. The agent's own would be lost with a connection that breaks. */
  session?: Buffer;
}

type Tls = { readonly ca?: string; readonly cert?: string; readonly key?: string };

/** Connections of one queen; those over TLS take up the session of the one before. */
export function streamTarget(queen: string, token: string | undefined, tls: Tls = {}): StreamTarget {
  const url = new URL('/v1/stream', queen);
  const isSecure = url.protocol === 'https:';
  url.protocol = isSecure ? 'wss:' : 'ws:';
  return { url: url.href, agent: isSecure ? new HttpsAgent(tls) : new HttpAgent(), token };
}

/** The queen, or what stands before it, answered in HTTP instead. */
export class UpgradeRefused extends Error {
  readonly response: ExchangeResponse;

  constructor(response: ExchangeResponse) {
    super(`answered ${response.status}`);
    this.response = response;
  }
}

/** What a queen said to a message. `resync`: it has to be sent again, whole. */
export type StreamAnswer = Ack | Refused | Extract<QueenMessage, { type: 'resync' }>;

export type StreamEnd = 'goaway' | 'failed' | 'closed';

interface Waiter {
  readonly epoch: number;
  readonly index: number;
  readonly resolve: (answer: StreamAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** Reads a refusal of the upgrade, as long as one of a queen can be. */
function refusalOf(response: IncomingMessage): Promise<UpgradeRefused> {
  return new Promise((resolve) => {
    let body = '';
    const done = () => {
      response.destroy();
      const { statusCode = 0, headers } = response;
      resolve(new UpgradeRefused({ status: statusCode, retryAfter: headers['retry-after'] ?? null, body }));
    };
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      body += text;
      if (body.length > maxTextBytes) done();
    });
    response.on('end', done);
    response.on('error', done);
  });
}

/** One connection to a queen that has welcomed this hive. */
export class StreamConnection {
  readonly ackEvery: number;
  /** The queen takes what engines say between two heartbeats. */
  readonly takesLoads: boolean;
  /** The queen says when a whole heartbeat is due. */
  readonly asksForKeyframes: boolean;
  readonly #client: ws.WebSocket;
  readonly #clock: Clock;
  readonly #onResync: (reason: string) => void;
  #reply: HeartbeatReply;
  #waiter: Waiter | null = null;
  #cancelLate: (() => void) | null = null;
  #end: StreamEnd | null = null;

  private constructor(client: ws.WebSocket, welcome: Extract<QueenMessage, { type: 'welcome' }>, hooks: StreamHooks) {
    this.#client = client;
    this.#clock = hooks.clock;
    this.#onResync = hooks.onResync;
    this.ackEvery = welcome.ackEvery;
    this.takesLoads = welcome.takesLoads;
    this.asksForKeyframes = welcome.asksForKeyframes;
    const { queenId, intervalMs } = welcome;
    this.#reply = { accepted: true, queenId, ackEventSeq: 0, intervalMs };
    client.on('message', (data, isBinary) => {
      const message = isBinary ? null : readQueenMessage(String(data));
      if (message !== null) this.#receive(message, hooks);
    });
    client.once('close', () => {
      this.#cancelLate?.();
      this.#end ??= 'failed';
      this.#waiter?.reject(new Error('the connection ended'));
      this.#waiter = null;
      hooks.onEnd(this.#end);
    });
  }

  /** Connects, and resolves once the queen has welcomed the hive. @throws UpgradeRefused, and errors of the connection */
  static open(target: StreamTarget, signal: AbortSignal, hooks: StreamHooks): Promise<StreamConnection> {
    const { url, agent, token, session } = target;
    return new Promise((resolve, reject) => {
      let isReached = false;
      const client = new WebSocket(url, subprotocol, {
        agent,
        finishRequest: (request) => {
          request.once('socket', (socket) => {
            socket.once('connect', () => {
              isReached = true;
            });
            socket.on('session', (newest: Buffer) => {
              target.session = newest;
            });
          });
          request.end();
        },
        perMessageDeflate: false,
        maxPayload: maxTextBytes,
        ...(session === undefined ? {} : { session }),
        ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      });
      const abort = () => {
        // A queen whose host does not answer is no failure of the stream.
        reject(Object.assign(new Error('no answer in time'), isReached ? {} : { code: 'ETIMEDOUT' }));
        client.terminate();
      };
      const settled = () => {
        signal.removeEventListener('abort', abort);
        client.off('close', ended);
      };
      const ended = () => reject(new Error('the connection ended before the queen said anything'));
      signal.addEventListener('abort', abort, { once: true });
      client.on('error', (error) => {
        settled();
        reject(error);
        client.terminate();
      });
      client.once('close', ended);
      client.once('unexpected-response', (_request, response) => {
        void refusalOf(response).then((refused) => {
          settled();
          reject(refused);
          client.terminate();
        });
      });
      client.once('open', () => client.send(helloOf(sentSchema(ownSchema))));
      client.once('message', (data, isBinary) => {
        settled();
        const message = isBinary ? null : readQueenMessage(String(data));
        if (message?.type === 'welcome') resolve(new StreamConnection(client, message, hooks));
        else {
          reject(new Error('answers, but not as a queen does; is it one?'));
          client.terminate();
        }
      });
      if (signal.aborted) abort();
    });
  }

  /** What the queen said last. */
  get reply(): HeartbeatReply {
    return this.#reply;
  }

  /** More than what was just sent is still here: the queen reads more slowly than this hive sends. */
  get isBehind(): boolean {
    return this.#client.bufferedAmount > mostHeldBytes;
  }

  /** An answer is due. */
  get isWaiting(): boolean {
    return this.#waiter !== null;
  }

  send(bytes: Buffer): void {
    this.#client.send(bytes);
  }

  /** Sends a message and waits for what the queen says to it. Where that takes too long the connection is ended. */
  ask(bytes: Buffer, epoch: number, index: number): Promise<StreamAnswer> {
    return new Promise((resolve, reject) => {
      // It may have ended while a keyframe was compressed: nobody would say so a second time.
      if (this.#client.readyState === WebSocket.CLOSED) {
        reject(new Error('the connection ended'));
        return;
      }
      this.#waiter?.reject(new Error('overtaken'));
      this.#waiter = { epoch, index, resolve, reject };
      this.#cancelLate?.();
      this.#cancelLate = this.#clock.after(ackMs, () => this.#client.terminate());
      this.#client.send(bytes);
    });
  }

  close(): void {
    this.#end ??= 'closed';
    this.#client.close();
    this.#clock.after(ackMs, () => this.#client.terminate());
  }

  #receive(message: QueenMessage, hooks: StreamHooks): void {
    switch (message.type) {
      case 'ack': {
        this.#reply = message.reply;
        const { epoch, index } = this.#waiter ?? {};
        if (message.epoch === epoch && message.index === index) this.#answer(message);
        return;
      }
      case 'interval':
        this.#reply = { ...this.#reply, intervalMs: message.intervalMs };
        return;
      case 'keyframe':
        hooks.onKeyframeWanted();
        return;
      case 'resync':
        this.#onResync(message.reason);
        this.#answer(message);
        return;
      case 'refused':
        this.#answer(message);
        return;
      case 'goaway':
        this.#end = 'goaway';
        hooks.onGoAway(message.withinMs);
        return;
      case 'welcome':
        return;
    }
  }

  #answer(answer: StreamAnswer): void {
    this.#cancelLate?.();
    this.#cancelLate = null;
    this.#waiter?.resolve(answer);
    this.#waiter = null;
  }
}

export interface StreamHooks {
  readonly clock: Clock;
  readonly onResync: (reason: string) => void;
  readonly onKeyframeWanted: () => void;
  readonly onGoAway: (withinMs: number) => void;
  readonly onEnd: (end: StreamEnd) => void;
}
