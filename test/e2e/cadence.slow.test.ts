import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import type { Heartbeat, HeartbeatReply } from '../../lib/contract/heartbeat.js';
import { DeltaReader, decodeKeyframe, messageTypes } from '../../lib/contract/stream/codec.js';
import type { QueenMessage } from '../../lib/contract/stream/messages.js';
import { Control } from '../harness/control.js';
import { type Harness, useHarness } from '../harness/harness.js';
import { waitFor } from '../harness/wait.js';

vi.setConfig({ testTimeout: 90_000 });

interface Heard {
  readonly at: number;
  readonly seq: number;
}

/** It asks for nothing slower: the cadence is the hive's own. */
const reply: HeartbeatReply = { accepted: true, queenId: 'counting', ackEventSeq: 0, intervalMs: 100 };

const seqOf = (body: Buffer, isCompressed: boolean): number =>
  (JSON.parse(String(isCompressed ? gunzipSync(body) : body)) as Heartbeat).seq;

/** What a hive takes for its queen; keeps when each heartbeat came, by POST or by a stream. */
async function countingQueen(harness: Harness): Promise<{ url: string; heard: readonly Heard[] }> {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    const at = performance.now();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      heard.push({ at, seq: seqOf(Buffer.concat(chunks), request.headers['content-encoding'] === 'gzip') });
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
    });
  });
  new WebSocketServer({ server }).on('connection', (client) => {
    client.on('message', (data, isBinary) => {
      const at = performance.now();
      const answer = (message: QueenMessage) => client.send(JSON.stringify(message));
      const message = data as Buffer;
      if (!isBinary) answer({ type: 'welcome', queenId: 'counting', intervalMs: 100, ackEvery: 5, takesLoads: false });
      else if (message[0] === messageTypes.keyframe) {
        const { epoch, encoding, body } = decodeKeyframe(message);
        heard.push({ at, seq: seqOf(body, encoding === 'gzip') });
        answer({ type: 'ack', epoch, index: 0, deltas: true, reply });
      } else {
        const { epoch, index, seq, wantsAck } = new DeltaReader(message);
        heard.push({ at, seq });
        if (wantsAck) answer({ type: 'ack', epoch, index, deltas: true, reply });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  harness.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

describe('a hive as a process', () => {
  const harness = useHarness();

  test.each([
    ['by its stream', []],
    ['by POST', ['--no-stream']],
  ])('heartbeat cadence %s: 3 or 4 in 3.5 s', async (_way, flags) => {
    const control = await Control.start(harness());
    const queen = await countingQueen(harness());
    const own = ['--runtime-dir', harness().directory()];
    await harness().hive([queen.url], { args: ['--gpu', 'none', '--no-auto', ...flags, ...own] });
    const settled = await waitFor(() => queen.heard[2], { timeoutMs: 30_000, what: 'the first heartbeats' });
    // Between two heartbeats, so that neither end of the window falls on one.
    const from = settled.at + 300;
    const until = from + 3500;
    await waitFor(() => performance.now() > until, { what: 'the end of the window' });
    const inside = queen.heard.filter(({ at }) => at >= from && at < until);
    const late = control.lateMs(from, until);
    // On a machine that is not overloaded `late` is some tens of ms, and the count exactly what is claimed.
    const allowed = Math.floor(late / 500);
    const told = `${inside.length} at ${inside.map(({ at }) => Math.round(at - from))}, control ${Math.round(late)} ms late`;
    expect(inside.length, told).toBeGreaterThanOrEqual(3 - allowed);
    expect(inside.length, told).toBeLessThanOrEqual(4 + allowed);
    const seqs = queen.heard.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });
});
