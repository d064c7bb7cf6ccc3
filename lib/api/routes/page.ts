import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

const notBuilt = `hivepulse: the queen is running, but its page has not been built.

Build it with \`npm run build\` and start the queen again. Until then:
  GET v1/hives, v1/workers, v1/gpus, v1/fleet    what is known
  GET v1/events                                  what happens, as server-sent events
  GET docs                                       the whole API
`;

/** The page, from the files that the build made; without them a text that says so. */
export async function pageRoutes(app: FastifyInstance, { directory }: { readonly directory: string }): Promise<void> {
  if (!existsSync(join(directory, 'index.html'))) {
    app.get('/', { schema: { hide: true }, config: { need: 'open' } }, async (_request, reply) =>
      reply.type('text/plain; charset=utf-8').send(notBuilt),
    );
    return;
  }
  // Whoever has no token yet must get the page on which to give it; it holds nothing by itself.
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, need: 'open' };
  });
  await app.register(fastifyStatic, {
    root: directory,
    wildcard: false,
    schemaHide: true,
    cacheControl: false,
    setHeaders: (reply, path) => {
      // The build puts a hash into the names of assets, so what has one never changes.
      const hashed = /[\\/]assets[\\/]/.test(path);
      reply.setHeader('cache-control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
    },
  });
}
