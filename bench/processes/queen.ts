// A queen in a process of its own, or (`bare`) the least that could take its place: node:http, the body, JSON.parse.
// Says its port; answers each message with what it has used so far.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import type * as Queen from '../../lib/daemon/queen.js';

export interface QueenUse {
  /** CPU time of the whole process, µs. */
  readonly cpuMicros: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
}

const reply = JSON.stringify({ accepted: true, queenId: 'bare', ackEventSeq: 0, intervalMs: 1000 });

async function bare(): Promise<number> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString());
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': reply.length });
      response.end(reply);
    });
  });
  server.keepAliveTimeout = 75_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function queen(): Promise<number> {
  // As built: what runs TypeScript for the benchmarks gives each function its name at every call.
  const { startQueen } = (await import(new URL('../../dist/daemon/queen.js', import.meta.url).href)) as typeof Queen;
  // A load sends heartbeats as fast as they are taken; no setting allows one hive that.
  const limits = { heartbeatsPerSecond: 1000 };
  const started = await startQueen({ port: 0, warmingMs: 0, maxHives: 100_000, maxStreams: 2000 }, limits);
  process.once('disconnect', () => void started.close());
  return started.port;
}

const port = await (process.argv[2] === 'bare' ? bare() : queen());
process.on('message', () => {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  process.send?.({ cpuMicros: user + system, rssBytes: rss, heapBytes: heapUsed } satisfies QueenUse);
});
process.once('disconnect', () => process.exit());
process.send?.({ port });
