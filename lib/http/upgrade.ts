import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** A connection whose next bytes are no longer HTTP. */
export interface Upgrade {
  readonly socket: Duplex;
  /** What had come behind the request. */
  readonly head: Buffer;
}

/** Errors of a connection are followed by its end, which is all there is to know. No closure: it would keep the request. */
const ignoreError = (): void => undefined;

/**
 * Requests that ask for another protocol go the way of all others, with the same checks; the route of that protocol takes the
 * connection over. Everybody else is answered in HTTP, and then the connection ends.
 */
export class Upgrades {
  readonly #pending = new WeakMap<IncomingMessage, { readonly head: Buffer; readonly response: ServerResponse }>();

  constructor(server: Server) {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      socket.on('error', ignoreError);
      response.assignSocket(socket as never);
      response.once('finish', () => socket.end());
      this.#pending.set(request, { head, response });
      server.emit('request', request, response);
    });
  }

  /** Gives the connection of a request to whoever goes on with it; null: it asks for nothing else than HTTP. */
  take(request: IncomingMessage): Upgrade | null {
    const pending = this.#pending.get(request);
    if (pending === undefined) return null;
    this.#pending.delete(request);
    pending.response.detachSocket(request.socket);
    return { socket: request.socket, head: pending.head };
  }

  /** The request came over a connection that can be taken. */
  has(request: IncomingMessage): boolean {
    return this.#pending.has(request);
  }
}
