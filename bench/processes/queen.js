// A queen in a process of its own, or the least that could take its place: of POSTs (`bare`) node:http, the body, JSON.parse; of
// streams (`bareStream`) ws, each message, and the answers that are asked for. Says its port; answers each message with what it
// has used so far, a `QueenUse`. `watched`: also how late its event loop is. A third word is the port. As built, without what runs
// TypeScript for the benchmarks: that takes 44 MiB, and gives each function its name at every call.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gunzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';

/** The second number of the thread's schedstat is nanoseconds in the queue; 0 where the kernel does not count. */
function waitedMs() {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

const reply = JSON.stringify({ accepted: true, queenId: 'bare', ackEventSeq: 0, intervalMs: 1000 });

async function bare() {
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString());
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': reply.length });
      response.end(reply);
    });
  });
  server.keepAliveTimeout = 75_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

/** First bytes of messages: see docs/stream.md. */
const keyframe = 1;
const wantsAck = 1;

async function bareStream() {
  const streams = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    clientTracking: false,
    perMessageDeflate: false,
    handleProtocols: (offered) => [...offered][0],
  });
  const ack = JSON.stringify({ type: 'ack', epoch: 1, index: 0, deltas: true, reply: JSON.parse(reply) });
  streams.on('connection', (client) => {
    client.on('message', (message, isBinary) => {
      if (!isBinary) client.send(JSON.stringify({ type: 'welcome', queenId: 'bare', intervalMs: 1000, ackEvery: 5 }));
      else if (message[0] === keyframe || (message[1] & wantsAck) !== 0) client.send(ack);
    });
  });
  await new Promise((resolve) => streams.once('listening', resolve));
  return streams.address().port;
}

async function queen() {
  const load = (module) => import(new URL(`../../dist/${module}`, import.meta.url).href);
  const { keepMemoryLow } = await load('native/resident-memory.js');
  const { startQueen } = await load('daemon/queen.js');
  // As the command does.
  keepMemoryLow();
  // A load sends heartbeats as fast as they are taken; no setting allows one hive that.
  const limits = { heartbeatsPerSecond: 1000 };
  const started = await startQueen(
    { port: Number(process.argv[4] ?? 0), warmingMs: 0, maxHives: 100_000, maxStreams: 2000 },
    limits,
  );
  process.once('disconnect', () => void started.close());
  return started.port;
}

const servers = { bare, bareStream, queen };
const port = await servers[process.argv[2]]();
const resolutionMs = 10;
const watched = () => (process.argv[3] === 'watched' ? monitorEventLoopDelay({ resolution: resolutionMs }) : null);
/** Since the last answer, and since one was asked for that begins anew. */
const [delay, wholeDelay] = [watched(), watched()];
for (const each of [delay, wholeDelay]) each?.enable();
const lateMs = (histogram) => (histogram === null ? 0 : Math.max(0, histogram.percentile(99) / 1e6 - resolutionMs));
process.on('message', (question) => {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const [loopDelayMs, wholeLoopDelayMs] = [delay, wholeDelay].map(lateMs);
  delay?.reset();
  if (question.beginsAnew) wholeDelay?.reset();
  process.send?.({
    cpuMicros: user + system,
    rssBytes: rss,
    heapBytes: heapUsed,
    loopDelayMs,
    wholeLoopDelayMs,
    waitedMs: waitedMs(),
  });
});
process.once('disconnect', () => process.exit());
process.send?.({ port });
