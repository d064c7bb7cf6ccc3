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
    if (!acceptsGzip(String(request.headers['accept-encoding'] ?? '')))
      return reply.header('content-encoding', 'identity').send(this.#plain);
    this.#gzip ??= gzipSync(this.#plain);
    return reply.header('content-encoding', 'gzip').send(this.#gzip);
  }
}

/** Whether a list of codings has gzip, and not with the weight 0 (RFC 9110, 12.5.3). */
export const acceptsGzip = (header: string): boolean =>
  header.split(',').some((part) => {
    const [coding = '', weight = ''] = part.split(';', 2).map((text) => text.trim().toLowerCase());
    return coding === 'gzip' && !/^q=0(?:\.0*)?$/.test(weight);
  });
