import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { maxWaiting, signatureOf, Webhook, type WebhookOptions } from '../../lib/http/webhook.js';
import { waitFor as until } from '../harness/wait.js';

interface Taken {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver that answers as `statuses` say, then 204, and what it was sent. */
async function receiver(statuses: number[] = []) {
  const taken: Taken[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      taken.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(statuses.shift() ?? 204, { location: '/elsewhere' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { taken, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/token-in-path` };
}

function webhookTo(url: string, options: Partial<WebhookOptions> = {}) {
  const warnings: string[] = [];
  const waits: { ms: number; then: () => void }[] = [];
  const clock = { wallMs: 1_772_323_200_000 };
  const webhook = new Webhook({
    url,
    secret: 's3cret',
    warn: (text) => warnings.push(text),
    wallClock: () => clock.wallMs,
    random: () => 1,
    wait: (ms, then) => {
      waits.push({ ms, then });
      return () => {};
    },
    ...options,
  });
  onTestFinished(() => webhook.close());
  return { webhook, warnings, waits, clock };
}

/** Receivers that mean harm: what each does with the answer to a request. */
const hostile: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'never answers': () => undefined,
  'answers a byte now and then': (response) => {
    response.socket?.write('HTTP/1.1 2');
  },
  'answers with headers without end': (response) => {
    response.socket?.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1024 * 1024)}`);
  },
};

describe('a receiver that means harm', () => {
  it.each(Object.keys(hostile))('and %s delays nothing but what it would have been sent', async (kind) => {
    const server = createServer((_, response) => hostile[kind]?.(response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { webhook, warnings, waits } = webhookTo(url, { deadlineMs: 200 });
    webhook.send({ text: 'one' });
    await until(() => waits.length === 1);
    expect(webhook.waiting).toHaveLength(1);
    expect(warnings).toEqual([expect.stringMatching(/trying on: (no answer in 0.2 s|it cannot be reached)$/)]);
  });

  it('and answers without end is read no further than to its status', async () => {
    let written = 0;
    let isClosed = false;
    const server = createServer((_, response) => {
      response.writeHead(200);
      response.on('close', () => {
        isClosed = true;
      });
      const part = Buffer.alloc(1024 * 1024);
      const more = () => {
        while (!response.destroyed && response.write(part)) written += part.length;
        written += part.length;
        if (!response.destroyed && written < 2 ** 30) response.once('drain', more);
      };
      more();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { webhook, warnings } = webhookTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    webhook.send({ text: 'one' });
    await until(() => webhook.waiting.length === 0 && isClosed);
    expect(written).toBeLessThan(64 * 1024 * 1024);
    expect(warnings).toEqual([]);
  });
});

describe('webhook', () => {
  it('signs what it sends, as the specification has it', () => {
    // The example of standardwebhooks.com.
    const body = '{"test": 2432232314}';
    expect(
      signatureOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body),
    ).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('tries the same message again until it is taken, then the next, in order', async () => {
    const { taken, url } = await receiver([500, 429]);
    const { webhook, warnings, waits, clock } = webhookTo(url);
    webhook.send({ text: 'one' });
    webhook.send({ text: 'two' });
    await until(() => waits.length === 1);
    clock.wallMs += 1000;
    waits[0]!.then();
    await until(() => waits.length === 2);
    waits[1]!.then();
    await until(() => taken.length === 4 && webhook.waiting.length === 0);
    expect(waits.map(({ ms }) => ms)).toEqual([1000, 2000]);
    expect(taken.map(({ body }) => JSON.parse(body).text)).toEqual(['one', 'one', 'one', 'two']);
    const ids = taken.map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(2);
    expect(ids[0]).toBe(ids[2]);
    for (const { headers, body } of taken) {
      const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = headers;
      expect(signature).toBe(signatureOf('s3cret', String(id), Number(at), body));
    }
    expect(Number(taken[1]!.headers['webhook-timestamp'])).toBe(Number(taken[0]!.headers['webhook-timestamp']) + 1);
    expect(warnings).toEqual([
      'the webhook does not take messages, trying on: it answered 500',
      'the webhook takes messages again; 0 were left out meanwhile',
    ]);
  });

  it('gives up what is refused for good, follows no redirect, and says no address in its warnings', async () => {
    const { taken, url } = await receiver([400, 302]);
    const { webhook, warnings } = webhookTo(url, { secret: null });
    for (const text of ['one', 'two', 'three']) webhook.send({ text });
    await until(() => webhook.waiting.length === 0);
    expect(taken).toHaveLength(3);
    expect(taken[0]!.headers).not.toHaveProperty('webhook-signature');
    expect(warnings).toEqual([
      'a message to the webhook was given up: it answered 400',
      'a message to the webhook was given up: it answered 302',
    ]);
  });

  it('keeps so many messages and no more, the newest, and none for longer than an hour', async () => {
    const { webhook, warnings, waits, clock } = webhookTo('http://127.0.0.1:1/', {
      fetch: () => Promise.reject(new TypeError('fetch failed')),
    });
    for (let i = 0; i < maxWaiting + 5; i++) webhook.send({ i });
    await until(() => waits.length === 1);
    expect(webhook.waiting.length).toBe(maxWaiting);
    clock.wallMs += 3_600_000;
    waits[0]!.then();
    await until(() => webhook.waiting.length === 0);
    expect(warnings[0]).toBe('the webhook does not take messages, trying on: it cannot be reached');
    expect(warnings).toHaveLength(1 + maxWaiting);
    webhook.close();
    webhook.send({ late: true });
    expect(webhook.waiting.length).toBe(0);
  });

  it('of long messages it keeps fewer, the newest', async () => {
    const { webhook, waits } = webhookTo('http://127.0.0.1:1/', { fetch: () => Promise.reject(new TypeError('no')) });
    for (let i = 0; i < 20; i++) webhook.send({ i, text: 'x'.repeat(1024 * 1024) });
    await until(() => waits.length === 1);
    expect(webhook.waiting.reduce((sum, { body }) => sum + body.length, 0)).toBeLessThan(4 * 1024 * 1024);
    expect((JSON.parse(webhook.waiting.at(-1)!.body) as { i: number }).i).toBe(19);
  });

  it('what waited before a restart is sent with the id that it had, before what is new', async () => {
    const { taken, url } = await receiver();
    const { webhook } = webhookTo(url);
    webhook.adopt([{ id: 'before', body: '{"text":"old"}', madeAtMs: 1_772_323_200_000 }]);
    webhook.send({ text: 'new' });
    await until(() => taken.length === 2);
    expect(taken.map(({ body }) => body)).toEqual(['{"text":"old"}', '{"text":"new"}']);
    expect(taken[0]?.headers['webhook-id']).toBe('before');
  });
});
