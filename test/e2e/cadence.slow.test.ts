import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import type { Heartbeat, HeartbeatReply } from '../../lib/contract/heartbeat.js';
import { Control } from '../harness/control.js';
import { type Harness, useHarness } from '../harness/harness.js';
import { waitFor } from '../harness/wait.js';

vi.setConfig({ testTimeout: 90_000 });

interface Post {
  readonly at: number;
  readonly seq: number;
}

/** What a hive takes for its queen; keeps when each heartbeat came. */
async function countingQueen(harness: Harness): Promise<{ url: string; posts: readonly Post[] }> {
  const posts: Post[] = [];
  const server = createServer((request, response) => {
    const at = performance.now();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const { seq } = JSON.parse(
        String(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body),
      ) as Heartbeat;
      posts.push({ at, seq });
      // It asks for nothing slower: the cadence is the hive's own.
      const reply: HeartbeatReply = { accepted: true, queenId: 'counting', ackEventSeq: 0, intervalMs: 100 };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  harness.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, posts };
}

describe('a hive as a process', () => {
  const harness = useHarness();

  test('heartbeat cadence: 3 or 4 posts in 3.5 s', async () => {
    const control = await Control.start(harness());
    const queen = await countingQueen(harness());
    const own = ['--runtime-dir', harness().directory()];
    await harness().hive([queen.url], { args: ['--gpu', 'none', '--no-auto', ...own] });
    const settled = await waitFor(() => queen.posts[2], { timeoutMs: 30_000, what: 'the first heartbeats' });
    // Between two heartbeats, so that neither end of the window falls on one.
    const from = settled.at + 300;
    const until = from + 3500;
    await waitFor(() => performance.now() > until, { what: 'the end of the window' });
    const inside = queen.posts.filter(({ at }) => at >= from && at < until);
    const late = control.lateMs(from, until);
    // On a machine that is not overloaded `late` is some tens of ms, and the count exactly what is claimed.
    const allowed = Math.floor(late / 500);
    const told = `${inside.length} posts at ${inside.map(({ at }) => Math.round(at - from))}, control ${Math.round(late)} ms late`;
    expect(inside.length, told).toBeGreaterThanOrEqual(3 - allowed);
    expect(inside.length, told).toBeLessThanOrEqual(4 + allowed);
    const seqs = queen.posts.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });
});
