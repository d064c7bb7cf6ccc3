import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let server: Server | null = null;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A server that sends the head and the beginning of a body, and then nothing more. */
async function halfAnswer(type: string, begin: string): Promise<string> {
  server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': type });
    response.write(begin);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('client: a body that stops half-way, with the garbage collected in between', () => {
  test('a call still ends at its deadline', async () => {
    const client = new HivepulseClient({ url: await halfAnswer('application/json', '{"items":['), timeoutMs: 300 });
    const collecting = setInterval(collectGarbage, 20);
    try {
      await expect(client.hives()).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' });
    } finally {
      clearInterval(collecting);
    }
  });

  test('a stream still ends when it is aborted', async () => {
    const client = new HivepulseClient(await halfAnswer('text/event-stream', 'retry: 1000\n\n'));
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const { type } of client.events({}, { signal: abort.signal })) {
      seen.push(type);
      setTimeout(collectGarbage, 50);
      setTimeout(() => {
        collectGarbage();
        abort.abort();
      }, 150);
    }
    expect(seen).toEqual(['open']);
  });

  test('a stream that falls silent is still noticed', async () => {
    const client = new HivepulseClient(await halfAnswer('text/event-stream', 'retry: 1000\n\n'));
    const collecting = setInterval(collectGarbage, 20);
    try {
      for await (const message of client.events({}, { silentMs: 200 })) {
        if (message.type === 'open') continue;
        expect(message).toMatchObject({ type: 'closed', error: { code: 'REQUEST_TIMEOUT' } });
        break;
      }
    } finally {
      clearInterval(collecting);
    }
  });
});
