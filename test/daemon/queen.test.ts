import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';
import type { QueenOptions } from '../../lib/config/options.js';
import { type Queen, startQueen } from '../../lib/daemon/queen.js';
import { tokens } from '../api/build-server.js';
import { heartbeatOf } from '../harness/heartbeats.js';
import { StreamReader } from '../harness/sse.js';
import { waitFor } from '../harness/wait.js';

async function start(options: QueenOptions = {}): Promise<Queen> {
  const queen = await startQueen({ port: 0, ...options });
  onTestFinished(() => queen.close());
  return queen;
}

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'hivepulse-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const sendHeartbeat = async (queen: Queen, id: string, seq = 1, token?: string) =>
  new HivepulseClient({ url: queen.url, ...(token === undefined ? {} : { token }) }).sendHeartbeat(
    heartbeatOf(id, seq),
  );

describe('startQueen', () => {
  it('serves on loopback at a port of the kernel’s choice, and may be closed twice', async () => {
    const queen = await start();
    expect(queen.url).toBe(`http://127.0.0.1:${queen.port}`);
    expect(await (await fetch(`${queen.url}/healthz`)).json()).toEqual({ status: 'ok' });
    await Promise.all([queen.close(), queen.close()]);
    await expect(fetch(`${queen.url}/healthz`)).rejects.toThrow();
  });

  it('refuses to listen beyond loopback without a token, unless that is accepted', async () => {
    await expect(start({ host: '0.0.0.0' })).rejects.toMatchObject({ code: 'INSECURE_BIND', subject: '0.0.0.0' });
    const open = await start({ host: '0.0.0.0', insecure: true });
    expect((await fetch(`${open.url}/v1/fleet`, { headers: { host: 'gpu.example' } })).status).toBe(200);
    const guarded = await start({ host: '0.0.0.0', tokens: [{ role: 'read', token: tokens.read }] });
    expect((await fetch(`${guarded.url}/v1/fleet`)).status).toBe(401);
  });

  it('says in one clear error that its port is taken, or that there is no such address', async () => {
    const { port } = await start();
    await expect(start({ port })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE', subject: `127.0.0.1:${port}` });
    await expect(start({ port })).rejects.toThrow(/another queen.*--port/);
    await expect(start({ host: '203.0.113.7', insecure: true })).rejects.toMatchObject({ code: 'ADDRESS_UNAVAILABLE' });
  });

  it('closes within two seconds, with streams open and a request half sent', async () => {
    const queen = await start();
    const readers = [1, 2, 3].map(() => new StreamReader(`${queen.url}/v1/events`));
    for (const reader of readers) await reader.next(({ event }) => event === 'snapshot');
    const started = performance.now();
    await queen.close();
    expect(performance.now() - started).toBeLessThan(2000);
    await waitFor(() => readers.every((reader) => reader.ended));
  });

  it('ends when its signal aborts, before and after it has started', async () => {
    await expect(start({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CLOSED' });
    const abort = new AbortController();
    const queen = await start({ signal: abort.signal });
    abort.abort();
    await waitFor(async () =>
      fetch(`${queen.url}/healthz`).then(
        () => false,
        () => true,
      ),
    );
  });

  it('removes a silent hive in time, without being asked', async () => {
    const queen = await startQueen({ port: 0 }, { registry: { offlineAfterMs: 200, staleAfterMs: 600 } });
    onTestFinished(() => queen.close());
    const reader = new StreamReader(`${queen.url}/v1/events`);
    await reader.next(({ event }) => event === 'snapshot');
    await new HivepulseClient(queen.url).sendHeartbeat(heartbeatOf('a', 1, { intervalMs: 100 }));
    const removed = await reader.next(({ data }) => (data as { kind?: string }).kind === 'hiveRemoved');
    expect(removed.event).toBe('queenEvent');
    expect(queen.registry.hive('a')).toBeNull();
    reader.close();
  });
});

describe('tokens file', () => {
  it('is read at the start and on SIGHUP; a wrong one leaves the old tokens in force', async () => {
    const tokensFile = join(directory(), 'tokens');
    writeFileSync(tokensFile, `admin ${tokens.admin}\nread ${tokens.read}\n`);
    const queen = await start({ tokensFile });
    const status = async (token: string) =>
      (await fetch(`${queen.url}/v1/fleet`, { headers: { authorization: `Bearer ${token}` } })).status;
    expect(await status(tokens.read)).toBe(200);
    const reader = new StreamReader(`${queen.url}/v1/events`, { authorization: `Bearer ${tokens.read}` });
    await reader.next(({ event }) => event === 'snapshot');

    writeFileSync(tokensFile, 'king nothing\n');
    process.emit('SIGHUP');
    expect(await status(tokens.read)).toBe(200);
    writeFileSync(tokensFile, `admin ${tokens.admin}\n`);
    process.emit('SIGHUP');
    expect(await status(tokens.read)).toBe(401);
    expect(await status(tokens.admin)).toBe(200);
    await waitFor(() => reader.ended);
    const listeners = process.listenerCount('SIGHUP');
    await queen.close();
    expect(process.listenerCount('SIGHUP')).toBe(listeners - 1);
  });

  it('that is empty or missing does not open the queen to all', async () => {
    const tokensFile = join(directory(), 'tokens');
    await expect(start({ tokensFile })).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE' });
    writeFileSync(tokensFile, '# nothing yet\n');
    await expect(start({ tokensFile })).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE', subject: tokensFile });
  });
});

describe('a restart', () => {
  it('queen_restart_recovers: its hives are back with their next heartbeat, and it says warming until then', async () => {
    const first = await start();
    await sendHeartbeat(first, 'a');
    await sendHeartbeat(first, 'b');
    const { port } = first;
    await first.close();
    const second = await start({ port });
    const client = new HivepulseClient(second.url);
    expect(await client.hives()).toEqual({ items: [], nextCursor: null, warming: true });
    await sendHeartbeat(second, 'a', 2);
    await sendHeartbeat(second, 'b', 2);
    expect((await client.hives()).items.map((hive) => hive.id)).toEqual(['a', 'b']);
    expect((await client.workers()).items.length).toBe(2);
  });

  it('keeps reservations where it has a state directory', async () => {
    const state = directory();
    const first = await start({ state });
    await sendHeartbeat(first, 'a');
    const { reservation } = await new HivepulseClient(first.url).place({ vramBytes: 2 ** 30, reserveSeconds: 600 });
    // Not closed in order: what was answered is on the disk already.
    const kept = JSON.parse(readFileSync(join(state, 'reservations.json'), 'utf8'));
    expect(kept.reservations.map((each: { id: string }) => each.id)).toEqual([reservation?.id]);
    await first.close();
    const second = await start({ state });
    const client = new HivepulseClient(second.url);
    expect((await client.reservations()).items.map((each) => each.id)).toEqual([reservation?.id]);
    await sendHeartbeat(second, 'a');
    const [gpu] = (await client.gpus()).items;
    expect(gpu?.freeBytes).toBe(15 * 2 ** 30);
    await client.release(reservation?.id ?? '');
    expect((await client.gpus()).items[0]?.freeBytes).toBe(16 * 2 ** 30);
  });
});

describe('TLS', () => {
  /** A throw-away authority, a certificate for 127.0.0.1 and one for a client. */
  function certificates() {
    const at = directory();
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: at, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test-ca', '-days', '2');
    for (const name of ['queen', 'client']) {
      openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      writeFileSync(join(at, `${name}.ext`), 'subjectAltName=IP:127.0.0.1\n');
      const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`];
      openssl('x509', '-req', '-in', `${name}.csr`, ...sign, '-out', `${name}.pem`);
    }
    return { path: (name: string) => join(at, name), read: (name: string) => readFileSync(join(at, name)) };
  }

  const get = (url: string, options: object): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request(`${url}/v1/fleet`, options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      sent.on('error', reject);
      sent.end();
    });

  it('serves over TLS, and with a client authority only those who show a certificate of it', async () => {
    const files = certificates();
    const tls = { cert: files.path('queen.pem'), key: files.path('queen.key') };
    const plain = await start({ tls });
    expect(plain.url).toMatch(/^https:/);
    expect(await get(plain.url, { ca: files.read('ca.pem') })).toBe(200);
    const mutual = await start({ tls: { ...tls, clientCa: files.path('ca.pem') } });
    await expect(get(mutual.url, { ca: files.read('ca.pem') })).rejects.toThrow();
    const shown = { ca: files.read('ca.pem'), cert: files.read('client.pem'), key: files.read('client.key') };
    expect(await get(mutual.url, shown)).toBe(200);
  });

  it('takes no TLS older than 1.2', async () => {
    const files = certificates();
    const { url } = await start({ tls: { cert: files.path('queen.pem'), key: files.path('queen.key') } });
    const spoken = (version: 'TLSv1.1' | 'TLSv1.2') =>
      new Promise<string | null>((resolve) => {
        const socket = connectTls({
          host: '127.0.0.1',
          port: Number(new URL(url).port),
          ca: files.read('ca.pem'),
          minVersion: version,
          maxVersion: version,
          // The library offers nothing older than 1.2 unless its own level is lowered.
          ciphers: 'DEFAULT@SECLEVEL=0',
        });
        socket.once('secureConnect', () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.once('error', () => resolve(null));
      });
    expect(await spoken('TLSv1.2')).toBe('TLSv1.2');
    expect(await spoken('TLSv1.1')).toBeNull();
  });

  it('names the file that it cannot read', async () => {
    const tls = { cert: '/nonexistent/queen.pem', key: '/nonexistent/queen.key' };
    await expect(start({ tls })).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      subject: '/nonexistent/queen.pem',
    });
  });
});

describe('behind a proxy with a path prefix', () => {
  it('answers calls and streams, and its document points beside itself', async () => {
    const queen = await start();
    const proxy = createServer((incoming, outgoing) => {
      const target = `${queen.url}${(incoming.url ?? '').replace(/^\/gpu/, '')}`;
      const abort = new AbortController();
      outgoing.on('close', () => abort.abort());
      fetch(target, { signal: abort.signal })
        .then(async (answer) => {
          outgoing.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
          for await (const chunk of answer.body ?? []) outgoing.write(chunk);
          outgoing.end();
        })
        .catch(() => outgoing.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      const address = proxy.address();
      const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/gpu/`;
      await sendHeartbeat(queen, 'a');
      const client = new HivepulseClient(url);
      expect((await client.hive('a')).id).toBe('a');
      for await (const message of client.events()) if (message.type === 'snapshot') break;
      const document = (await (await fetch(`${url}openapi.json`)).json()) as { servers: { url: string }[] };
      expect(new URL(document.servers[0]?.url ?? '', `${url}openapi.json`).href).toBe(url);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});
