import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import pino from 'pino';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startQueen } from '../../lib/daemon/queen.js';
import { sessionContextOf, TicketKeys, ticketKeysFile } from '../../lib/daemon/ticket-keys.js';
import { selfSigned } from '../harness/certificate.js';

let directory: string;
let state: string;
const written: string[] = [];
const logger = pino({ level: 'trace' }, { write: (line: string) => void written.push(line) });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hivepulse-tickets-'));
  state = join(directory, 'state');
  written.length = 0;
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
});

async function certificate(name: string) {
  const { key, cert } = selfSigned();
  const paths = { key: join(directory, `${name}.key`), cert: join(directory, `${name}.cert`) };
  await writeFile(paths.key, key, { mode: 0o600 });
  await writeFile(paths.cert, cert);
  return { key, cert, paths };
}
type Certificate = Awaited<ReturnType<typeof certificate>>;

/** Asks a queen that has just started, which then ends; whether the session was taken up, and the one to go on with. */
async function askOnce({ key, cert, paths }: Certificate, clientCa: string, session?: Buffer) {
  const queen = await startQueen({ port: 0, state, logger, tls: { ...paths, clientCa } });
  try {
    return await new Promise<{ isReused: boolean; session: Buffer | undefined }>((resolve, reject) => {
      let newest = session;
      const url = `${queen.url.replace('127.0.0.1', 'localhost')}/healthz`;
      const asked = request(url, { ca: cert, key, cert, agent: false, ...(session && { session }) }, (response) => {
        const isReused = (response.socket as TLSSocket).isSessionReused();
        response.resume().on('end', () => resolve({ isReused, session: newest }));
      });
      asked.on('socket', (socket) => {
        socket.on('session', (given: Buffer) => {
          newest = given;
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  } finally {
    await queen.close();
  }
}

describe('sessions of TLS', () => {
  it('are taken up by the next queen with this directory, and its key is in no log and for nobody else', async () => {
    const own = await certificate('own');
    const first = await askOnce(own, own.paths.cert);
    const second = await askOnce(own, own.paths.cert, first.session);
    expect([first, second].map(({ isReused }) => isReused)).toEqual([false, true]);
    const path = join(state, ticketKeysFile);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const { keys } = JSON.parse(await readFile(path, 'utf8')) as { keys: [{ key: string }] };
    expect(keys).toHaveLength(1);
    expect(written.join('')).not.toContain(keys[0].key);
  });

  it('are not taken up where the authority of clients is another, or the certificate', async () => {
    const [own, other] = [await certificate('own'), await certificate('other')];
    const both = join(directory, 'both');
    await writeFile(both, own.cert + other.cert);
    const { session } = await askOnce(own, own.paths.cert);
    expect(await askOnce(own, both, session)).toMatchObject({ isReused: false });
    const pem = (text: string) => Buffer.from(text);
    const contexts = [sessionContextOf(pem('a'), pem('b')), sessionContextOf(pem('ab')), sessionContextOf(pem('b'))];
    expect(new Set(contexts).size).toBe(3);
    expect(contexts.every((each) => each.length === 32)).toBe(true);
  });

  it('begin anew where the file is for others to read, or holds no key, and the queen starts all the same', async () => {
    const own = await certificate('own');
    const { session } = await askOnce(own, own.paths.cert);
    const path = join(state, ticketKeysFile);
    const before = await readFile(path, 'utf8');
    await chmod(path, 0o644);
    const second = await askOnce(own, own.paths.cert, session);
    expect(second.isReused).toBe(false);
    expect(written.join('')).toContain('others can read it');
    expect(await readFile(path, 'utf8')).not.toBe(before);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    for (const entry of ['', '{"key":"AAAA","madeAtMs":1}', `{"key":"AAAA","madeAtMs":${Date.now()}}`, '7']) {
      await writeFile(path, `{"kind":"hivepulse.tls-tickets","version":1,"keys":[${entry}]}`, { mode: 0o600 });
      expect(await askOnce(own, own.paths.cert, second.session)).toMatchObject({ isReused: false });
    }
  });
});

describe('their key', () => {
  const day = 24 * 3600_000;
  const tls = { cert: 'c', key: 'k' };

  async function openAt(time: { nowMs: number }) {
    const given: string[] = [];
    const keys = (await TicketKeys.open({ tls, state }, () => time.nowMs))!;
    keys.attach({ setTicketKeys: (key) => void given.push(key.toString('base64')) });
    return { keys, given };
  }

  it('is another each day, at once and after a restart, and where the clock was set back', async () => {
    const time = { nowMs: 1_760_000_000_000 };
    const { keys, given } = await openAt(time);
    time.nowMs += day - 1;
    keys.look();
    expect(given).toHaveLength(1);
    time.nowMs += 1;
    keys.look();
    keys.look();
    expect(new Set(given).size).toBe(2);
    expect(Buffer.from(given[1]!, 'base64')).toHaveLength(48);
    await keys.close();
    const next = await openAt(time);
    expect(next.given).toEqual([given[1]]);
    await next.keys.close();
    for (const change of [day, -2 * day]) {
      time.nowMs += change;
      const later = await openAt(time);
      expect(given).not.toContain(later.given[0]);
      await later.keys.close();
    }
  });

  it('is kept nowhere without a directory, and there is none over HTTP', async () => {
    const keys = await TicketKeys.open({ tls });
    await keys!.close();
    expect(await TicketKeys.open({ state })).toBeNull();
    expect(await readdir(directory)).toEqual([]);
  });
});
