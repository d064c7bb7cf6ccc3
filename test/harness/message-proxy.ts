import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { messageTypes } from '../../lib/contract/stream/codec.js';
import { subprotocol } from '../../lib/contract/stream/messages.js';

/** What is passed on in place of one message. */
export type Carry = (message: Buffer, isBinary: boolean) => readonly Buffer[];

export const passOn: Carry = (message) => [message];

export const isDelta = (message: Buffer, isBinary: boolean): boolean => isBinary && message[0] === messageTypes.delta;

/** Does something else to the next delta, and lets all others pass. */
export function onNextDelta(change: (delta: Buffer) => readonly Buffer[]): Carry {
  let isDone = false;
  return (message, isBinary) => {
    if (isDone || !isDelta(message, isBinary)) return [message];
    isDone = true;
    return change(message);
  };
}

/** Between hives and their queen: it knows single messages of heartbeat streams, and passes requests on as they are. */
export class MessageProxy {
  /** What hives send, and what the queen answers. */
  fromHive: Carry = passOn;
  fromQueen: Carry = passOn;
  /** Answers each upgrade by itself with this status; null: passes it on. */
  refusesUpgrades: number | null = null;
  /** Streams and heartbeats by POST that came so far. */
  streams = 0;
  posts = 0;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => subprotocol });
  readonly #target: URL;
  readonly #ends = new Set<WebSocket>();

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((incoming, outgoing) => {
      const { method, url, headers } = incoming;
      if (method === 'POST') this.posts++;
      const { hostname: host, port } = this.#target;
      const onward = request({ host, port, method, path: url, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      incoming.pipe(onward);
    });
    this.#server.on('upgrade', (incoming, socket, head) => this.#upgrade(incoming, socket, head));
  }

  static async before(target: string): Promise<MessageProxy> {
    const proxy = new MessageProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends the connections that stand, without a word. */
  cut(): void {
    for (const end of this.#ends) end.terminate();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()).closeAllConnections());
  }

  #upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const refuse = (status: number) => socket.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\n\r\n`);
    if (this.refusesUpgrades !== null) {
      refuse(this.refusesUpgrades);
      return;
    }
    const { authorization } = incoming.headers;
    const url = `ws://${this.#target.host}${incoming.url}`;
    const queen = new WebSocket(url, subprotocol, {
      perMessageDeflate: false,
      headers: authorization === undefined ? {} : { authorization },
    });
    queen.on('unexpected-response', (_, { statusCode = 502 }) => refuse(statusCode));
    queen.on('error', () => socket.destroy());
    queen.once('open', () => this.#sockets.handleUpgrade(incoming, socket, head, (hive) => this.#join(hive, queen)));
  }

  #join(hive: WebSocket, queen: WebSocket): void {
    this.streams++;
    const pass = (from: WebSocket, to: WebSocket, carry: () => Carry) => {
      this.#ends.add(from);
      from.on('error', () => undefined);
      from.on('message', (data: RawData, isBinary: boolean) => {
        if (to.readyState !== WebSocket.OPEN) return;
        for (const message of carry()(data as Buffer, isBinary)) to.send(message, { binary: isBinary });
      });
      from.once('close', () => {
        this.#ends.delete(from);
        to.terminate();
      });
    };
    pass(hive, queen, () => this.fromHive);
    pass(queen, hive, () => this.fromQueen);
  }
}
