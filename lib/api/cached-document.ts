import { gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A document that never changes: written and compressed once, at the first request for it. */
export class CachedDocument {
  readonly #type: string;
  readonly #write: () => string;
  #plain: Buffer | null = null;
  #gzip: Buffer | null = null;

  constructor(type: string, write: () => string) {
    this.#type = type;
    this.#write = write;
  }

  send(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#plain ??= Buffer.from(this.#write());
    reply.type(this.#type).header('vary', 'accept-encoding');
    if (!/\bgzip\b(?!;\s*q=0)/.test(String(request.headers['accept-encoding'] ?? '')))
      return reply.header('content-encoding', 'identity').send(this.#plain);
    this.#gzip ??= gzipSync(this.#plain);
    return reply.header('content-encoding', 'gzip').send(this.#gzip);
  }
}
