import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ProblemError, problemReply } from './problem.js';

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
 * 64 KiB, one read, may be ten thousand chunks, and the parser hands over each before a pause of the socket is heeded, whoever
 * sent it and whether anybody wants it or not: 29 ms of a core. Node.js has no documented way to say no at the headers;
 * where its parser is another one day, such a body costs that much again, and is refused all the same.
 */
function endAtHeaders(socket: Socket & { readonly parser?: { onIncoming?: OnIncoming | null } | null }): void {
  const { parser } = socket;
  const onIncoming = parser?.onIncoming;
  if (parser === undefined || parser === null || typeof onIncoming !== 'function') return;
  parser.onIncoming = (request, keepAlive) => {
    const next = onIncoming(request, keepAlive);
    return isChunked(request) ? parsesNothingMore : next;
  };
}

/** A server that parses no body in chunks, and of which no handler sees a request with one. */
export function requireLength(server: Server): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (isChunked(request)) return refuse(request, response);
    for (const handle of handlers) handle.call(server, request, response);
  });
  // Behind the listener of Node.js, which gives a connection its parser; with TLS that comes after the handshake.
  server.on('connection', endAtHeaders);
  server.on('secureConnection', endAtHeaders);
}
