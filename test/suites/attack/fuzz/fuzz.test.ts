import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readMessage } from '../../../../lib/nats/messages.js';
import { hiveEventSubject } from '../../../../lib/nats/subjects.js';
import { buildTestServer, type TestServer } from '../../../api/build-server.js';
import { heartbeatOf } from '../../../harness/heartbeats.js';
import { Random } from '../../../harness/random.js';
import { eventMessageText, filterText, heartbeatText, queryText } from './grammar.js';

/** How long inputs are tried; a night's run says 600. */
const seconds = Number(process.env.HIVEPULSE_FUZZ_SECONDS ?? 20);
const firstSeed = Number(process.env.HIVEPULSE_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** What one input may cost. Longer texts may cost more by their length, and no more than that. */
const limits = { ms: 50, bytes: 32 * 1024 * 1024, textBytes: 256 * 1024 };

interface Input {
  readonly kind: string;
  readonly text: string;
  readonly give: (server: TestServer) => Promise<unknown>;
}

const host = { host: 'localhost' };
let seq = 0;

function inputOf(random: Random): Input {
  const kind = random.pick(['heartbeat', 'heartbeat', 'packed', 'message', 'query', 'filter']);
  switch (kind) {
    case 'heartbeat': {
      const text = heartbeatText(random);
      return { kind, text, give: (server) => server.post(text) };
    }
    case 'packed': {
      const text = heartbeatText(random);
      const body = gzipSync(text, { level: 1 });
      return { kind, text, give: (server) => server.post(body, { 'content-encoding': 'gzip' }) };
    }
    case 'message': {
      const text = eventMessageText(random);
      return { kind, text, give: async () => readMessage(Buffer.from(text), hiveEventSubject('h1'), 's-1') };
    }
    case 'query': {
      const text = queryText(random);
      return { kind, text, give: ({ app }) => app.inject({ url: text, headers: host }) };
    }
    default: {
      const text = filterText(random);
      return { kind, text, give: (server) => stream(server, text) };
    }
  }
}

/** Opens a stream, lets a change pass it, and ends it. Over a socket, which an injected request has not. */
async function stream({ app, hub, registry }: TestServer, path: string): Promise<unknown> {
  const address = app.server.address() as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${address.port}${path}`);
  registry.heartbeat(heartbeatOf('h1', ++seq));
  hub.flush();
  hub.endWhere(() => true);
  await answer.text();
  return { statusCode: answer.status };
}

/** CPU time of this process, and what it holds more after than before. */
async function costOf(
  input: Input,
  server: TestServer,
): Promise<{ readonly ms: number; readonly bytes: number; status: number }> {
  const memory = process.memoryUsage();
  const began = process.cpuUsage();
  const answer = await input.give(server);
  const { user, system } = process.cpuUsage(began);
  const after = process.memoryUsage();
  const bytes = after.heapUsed + after.arrayBuffers - memory.heapUsed - memory.arrayBuffers;
  return { ms: (user + system) / 1000, bytes, status: (answer as { statusCode?: number } | null)?.statusCode ?? 0 };
}

async function listening(): Promise<TestServer> {
  const server = await buildTestServer();
  await server.app.listen({ host: '127.0.0.1', port: 0 });
  return server;
}

const allowed = ({ text }: Input) => Math.max(1, text.length / limits.textBytes);

test(`no input costs more than ${limits.ms} ms or ${limits.bytes / 1024 ** 2} MiB, and none makes the queen fail`, async () => {
  let server = await listening();
  const found: string[] = [];
  let tried = 0;
  const until = performance.now() + seconds * 1000;
  for (let seed = firstSeed; performance.now() < until && found.length < 5; seed++) {
    // Now and then anew, so that what an input leaves behind does not grow into the cost of another.
    if (tried++ % 2000 === 1999) {
      await server.app.close();
      server = await listening();
    }
    const input = inputOf(new Random(seed));
    const most = allowed(input);
    let best = await costOf(input, server);
    if (best.status >= 500 && best.status !== 503)
      found.push(`seed ${seed}: ${input.kind} was answered with ${best.status}`);
    // Code that is new to the engine, its garbage, and another process may all cost once: what counts is the least of five.
    for (let turn = 1; turn < 5 && (best.ms > limits.ms * most || best.bytes > limits.bytes * most); turn++) {
      const again = await costOf(input, server);
      best = { ...best, ms: Math.min(best.ms, again.ms), bytes: Math.min(best.bytes, again.bytes) };
    }
    if (best.ms <= limits.ms * most && best.bytes <= limits.bytes * most) continue;
    mkdirSync('test-results', { recursive: true });
    writeFileSync(`test-results/fuzz-${seed}.txt`, input.text);
    const size = `${Math.round(input.text.length / 1024)} KiB`;
    found.push(
      `seed ${seed}: ${input.kind} of ${size}: ${best.ms.toFixed(1)} ms, ${(best.bytes / 1024 ** 2).toFixed(1)} MiB`,
    );
  }
  await server.app.close();
  console.log(`${tried} inputs from seed ${firstSeed}`);
  expect(found).toEqual([]);
  expect(tried).toBeGreaterThan(seconds);
});
