import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { startNotifier } from '../../lib/daemon/notifier.js';
import { signatureOf } from '../../lib/http/webhook.js';
import { TestQueen } from '../queen/heartbeats.js';

it('a secret is read of its file, without the end of its line; a file without one is an error', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'hivepulse-notifier-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const webhookSecretFile = join(dir, 'secret');
  // The default of staleAfterMs: nothing here waits for it.
  const options = { staleAfterMs: 90_000, isLeader: () => true, warn: expect.unreachable, webhookSecretFile };
  const started = (webhook: string) => startNotifier(new TestQueen(), { ...options, webhook });
  await expect(started('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE' });
  await writeFile(webhookSecretFile, '\n');
  await expect(started('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE' });

  await writeFile(webhookSecretFile, 's3cret\n');
  await writeFile(
    join(dir, 'notices.json'),
    JSON.stringify({
      kind: 'hivepulse.notices',
      version: 1,
      entries: [{ waiting: { id: 'm', body: '{}', madeAtMs: 1 } }],
    }),
  );
  const signature = new Promise<void>((resolve, reject) => {
    const server = createServer(({ headers }, response) => {
      response.writeHead(204).end();
      const expected = signatureOf('s3cret', 'm', Number(headers['webhook-timestamp']), '{}');
      if (headers['webhook-signature'] === expected) resolve();
      else reject(new Error(`${headers['webhook-signature']} is not ${expected}`));
    });
    onTestFinished(() => new Promise<void>((closed) => server.close(() => closed())));
    server.listen(0, '127.0.0.1', async () => {
      const webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const stop = await startNotifier(new TestQueen(), { ...options, webhook, state: dir });
      onTestFinished(stop);
    });
  });
  await signature;
});

it('rests twenty times as long as a look took', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const queen = new TestQueen({ warmingMs: 0 });
  queen.silences.set({ kind: 'silenced', cause: 'gpuLost', reason: 'x', by: 'kim' });
  let nowMs = 0;
  let tookMs = 5;
  let looks = 0;
  const attention = queen.attention.bind(queen);
  vi.spyOn(queen, 'attention').mockImplementation(() => {
    looks++;
    nowMs += tookMs;
    return attention();
  });
  const stop = await startNotifier(queen, {
    // The default: nothing here waits for it.
    staleAfterMs: 90_000,
    isLeader: () => true,
    warn: expect.unreachable,
    now: () => nowMs,
  });
  const looksIn = (ms: number) => {
    const before = looks;
    vi.advanceTimersByTime(ms);
    return looks - before;
  };
  expect(looksIn(10_000)).toBe(5);
  tookMs = 500;
  expect(looksIn(2000)).toBe(1);
  expect(looksIn(9999)).toBe(0);
  expect(looksIn(1)).toBe(1);
  await stop();
  expect(looksIn(60_000)).toBe(0);
});

it('a host whose trouble comes and goes is a message each ten seconds at most', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const queen = new TestQueen({ warmingMs: 0 });
  const sent: unknown[] = [];
  vi.stubGlobal('fetch', async (_url: string, { body }: { body: string }) => {
    sent.push(JSON.parse(body));
    return new Response(null, { status: 204 });
  });
  onTestFinished(() => void vi.unstubAllGlobals());
  const stop = await startNotifier(queen, {
    webhook: 'http://chat.example/',
    staleAfterMs: 90_000, // its default
    isLeader: () => true,
    warn: expect.unreachable,
  });
  for (let second = 1; second <= 100; second++) {
    queen.time.advance(1000);
    // Another one begins in each second, and stays.
    const faults = Array.from({ length: second }, (_, i) => ({ source: 'x', code: `C${i}`, message: 'x' }));
    queen.hear('a', second, { faults: faults as never });
    await vi.advanceTimersByTimeAsync(1000);
  }
  await stop();
  expect(sent.length).toBeGreaterThan(4);
  expect(sent.length).toBeLessThanOrEqual(9);
});
