import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ProblemError, problemReply } from './problem.js';

/** Requests of one connection that wait for their answers; who sends them one after the other has one. */
export const maxUnanswered = 16;

/** Answers a request whose body comes in chunks, and reads no more of its connection. */
function refuse({ socket }: IncomingMessage, response: ServerResponse): void {
  const { status, type, body } = problemReply(
    new ProblemError('LENGTH_REQUIRED', 'Send the body with its content-length.'),
  );
  const bytes = Buffer.from(JSON.stringify(body));
  socket.pause();
  // Its errors are followed by its end, which is all there is to know.
  response.on('error', () => undefined);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, connection: 'close' });
  response.end(bytes, () => socket.destroySoon());
}

const isChunked = (request: IncomingMessage): boolean => request.headers['transfer-encoding'] !== undefined;

/** What the parser does with what follows the headers, as `llhttp` has it: 2 is not to look at it. */
type OnIncoming = (request: IncomingMessage, keepAlive: boolean) => number;
const parsesNothingMore = 2;

/**
 * 64 KiB, one read, may be ten thousand chunks or a thousand requests, and the parser hands over each before a pause or the end
 * of the socket is heeded, whoever sent it and whether anybody wants it or not: 29 ms of a core. Node.js has no documented way
 * to say no at the headers; where its parser is another one day, they cost that much again, and are refused all the same.
 */
function endAtHeaders(socket: Socket & { readonly parser?: { onIncoming?: OnIncoming | null } | null }): void {
  const { parser } = socket;
  const onIncoming = parser?.onIncoming;
  if (parser === undefined || parser === null || typeof onIncoming !== 'function') return;
  parser.onIncoming = (request, keepAlive) => {
    const next = onIncoming(request, keepAlive);
    return isChunked(request) || socket.destroyed ? parsesNothingMore : next;
  };
}

/**
 * A server that parses no body in chunks, and of which no handler sees a request with one. A connection with more than
 * `maxUnanswered` requests that wait is ended.
 */
export function limitRequests(server: Server): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  const unanswered = new WeakMap<Socket, number>();
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const waiting = (unanswered.get(socket) ?? 0) + 1;
    if (waiting > maxUnanswered) {
      socket.destroy();
      return;
    }
    unanswered.set(socket, waiting);
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) as number) - 1));
    if (isChunked(request)) return refuse(request, response);
    for (const handle of handlers) handle.call(server, request, response);
  });
  // Behind the listener of Node.js, which gives a connection its parser; with TLS that comes after the handshake.
  server.on('connection', endAtHeaders);
  server.on('secureConnection', endAtHeaders);
}
