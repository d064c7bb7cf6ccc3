import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { ProblemError, problemReply } from './problem.js';

/**
 * Answers a request whose body comes in chunks, and reads no more of it: 64 KiB of it may be ten thousand chunks, and Node.js
 * hands over each, whoever sent it and whether anybody wants it or not. False: its body has a length, or there is none.
 */
export function refuseChunked(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.headers['transfer-encoding'] === undefined) return false;
  const { socket } = request;
  const { status, type, body } = problemReply(
    new ProblemError('LENGTH_REQUIRED', 'Send the body with its content-length.'),
  );
  const bytes = Buffer.from(JSON.stringify(body));
  socket.pause();
  // Its errors are followed by its end, which is all there is to know.
  response.on('error', () => undefined);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, connection: 'close' });
  response.end(bytes, () => socket.destroySoon());
  return true;
}

/** A server of which no handler sees a request with a body in chunks. */
export function requireLength(server: Server): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (refuseChunked(request, response)) return;
    for (const handle of handlers) handle.call(server, request, response);
  });
}
