// A queen in a process of its own, or (`bare`) the least that could take its place: node:http, the body, JSON.parse.
// Says its port; answers each message with what it has used so far. `watched`: also how
// late its event loop is. A third word is the port.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gunzipSync } from 'node:zlib';
import type * as Queen from '../../lib/daemon/queen.js';

export interface QueenUse {
  /** CPU time of the whole process, µs. */
  readonly cpuMicros: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** How late the event loop was in 99 of 100 cases since the last answer, ms; 0 where nobody watches. */
  readonly loopDelayMs: number;
  /** How long its main thread has waited for a core, ms: the machine was busy with others. */
  readonly waitedMs: number;
}

/** The second number of the thread's schedstat is nanoseconds in the queue; 0 where the kernel does not count. */
function waitedMs(): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
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
  const started = await startQueen(
    { port: Number(process.argv[4] ?? 0), warmingMs: 0, maxHives: 100_000, maxStreams: 2000 },
    limits,
  );
  process.once('disconnect', () => void started.close());
  return started.port;
}

const port = await (process.argv[2] === 'bare' ? bare() : queen());
const resolutionMs = 10;
const delay = process.argv[3] === 'watched' ? monitorEventLoopDelay({ resolution: resolutionMs }) : null;
delay?.enable();
process.on('message', () => {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const loopDelayMs = delay === null ? 0 : Math.max(0, delay.percentile(99) / 1e6 - resolutionMs);
  delay?.reset();
  process.send?.({
    cpuMicros: user + system,
    rssBytes: rss,
    heapBytes: heapUsed,
    loopDelayMs,
    waitedMs: waitedMs(),
  } satisfies QueenUse);
});
process.once('disconnect', () => process.exit());
process.send?.({ port });
