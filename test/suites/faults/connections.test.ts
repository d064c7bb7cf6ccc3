import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { maxUnanswered } from '../../../lib/http/request-limits.js';
import { type Daemon, getJson, useHarness } from '../../harness/harness.js';
import { createOtherHost } from '../../harness/network.js';
import { connectedPeers, descriptors, residentMiB } from '../../harness/resources.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';

/** As many connections as the descriptors of this process allow, at most 10,000. */
function affordable(): number {
  const limits = (process.report.getReport() as unknown as { userLimits: { open_files: { soft: number | string } } })
    .userLimits;
  const soft = Number(limits.open_files.soft);
  return Number.isFinite(soft) ? Math.min(10_000, soft - 500) : 10_000;
}

const root = process.platform === 'linux' && process.getuid?.() === 0;

describe('connections that mean no good', () => {
  const harness = useHarness();
  let queen: Daemon;
  let sockets: Socket[] = [];
  let before: { descriptors: number; memory: number };
  beforeEach(async () => {
    sockets = [];
    queen = await harness().queen({ args: ['--warming', '0'] });
    await getJson(`${queen.url}/healthz`);
    before = { descriptors: descriptors(queen.process.pid), memory: residentMiB(queen.process.pid) };
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
  });

  /** Opens a connection; what comes over it is kept as text. */
  const open = (
    first?: string | Buffer,
    to = { host: '127.0.0.1', port: Number(new URL(queen.url).port) },
  ): { socket: Socket; answer: () => string; closed: () => boolean } => {
    const socket = connect(to);
    let answer = '';
    let closed = false;
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      closed = true;
    });
    if (first !== undefined) socket.on('connect', () => socket.write(first));
    sockets.push(socket);
    return { socket, answer: () => answer, closed: () => closed };
  };

  /** The queen's real work goes on: health, a heartbeat, a query, each soon. */
  let served = 0;
  const serves = async (): Promise<void> => {
    served += 1;
    await using hive = new SimulatedHive({ id: `asks-${served}`, gpus: 1, workers: 2, queenUrls: [queen.url] });
    const started = performance.now();
    await getJson(`${queen.url}/healthz`);
    expect(await hive.sendHeartbeat()).not.toBeNull();
    await getJson(`${queen.url}/v1/workers`);
    expect(performance.now() - started).toBeLessThan(3000);
  };

  /** All is given back: descriptors to what they were (and what a kept connection takes), memory to what a process breathes. */
  const recovers = async (breathMiB = 96): Promise<void> => {
    await waitFor(() => descriptors(queen.process.pid) <= before.descriptors + 8, {
      timeoutMs: 40_000,
      what: 'the descriptors to be given back',
    });
    expect(residentMiB(queen.process.pid)).toBeLessThan(before.memory + breathMiB);
    expect(queen.process.running).toBe(true);
    expect(queen.process.lines.filter((line) => line.includes('"level":60'))).toEqual([]);
    await serves();
  };

  test('connections_many: ten thousand that say nothing are borne, and parted with', async () => {
    const count = affordable();
    expect(count).toBeGreaterThan(1000);
    let connected = 0;
    for (let i = 0; i < count; i += 1) {
      const { socket } = open();
      socket.once('connect', () => {
        connected += 1;
      });
      // The listen queue is short; a flood of SYNs would only test the kernel.
      if (i % 200 === 199) await waitFor(() => connected >= i - 100, { timeoutMs: 30_000, what: 'connections' });
    }
    await waitFor(() => connected === count, { timeoutMs: 30_000, what: `${count} connections` });
    await serves();
    await waitFor(() => sockets.every((socket) => socket.destroyed || socket.readableEnded), {
      timeoutMs: 60_000,
      what: 'silent connections to be closed by the queen',
    });
    await recovers(200);
  });

  test('connections_slowloris: headers and bodies that trickle are cut, and nobody else waits', async () => {
    const loris = Array.from({ length: 300 }, (_, i) =>
      open(
        i % 2 === 0
          ? 'GET /v1/workers HTTP/1.1\r\nHost: localhost\r\n'
          : 'POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{',
      ),
    );
    const trickle = setInterval(() => {
      for (const [i, { socket, closed }] of loris.entries())
        if (!closed() && socket.writable) socket.write(i % 2 === 0 ? `X-${Date.now()}: a\r\n` : ' ');
    }, 500);
    try {
      await serves();
      await waitFor(() => loris.every(({ closed }) => closed()), { timeoutMs: 60_000, what: 'all of them to be cut' });
    } finally {
      clearInterval(trickle);
    }
    for (const { answer } of loris) expect(answer() === '' || answer().includes('408')).toBe(true);
    await recovers();
  });

  test('connections_half_open: a client that ends its side in the middle of a request is ended too', async () => {
    const halves = [
      'GET /v1/work',
      'GET /v1/workers HTTP/1.1\r\nHost: localhost\r\n',
      'POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"a"',
      'GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ].flatMap((text) => Array.from({ length: 50 }, () => open(text)));
    await waitFor(() => halves.every(({ socket }) => !socket.connecting), { what: 'connections' });
    for (const { socket } of halves) socket.end();
    await waitFor(() => halves.every(({ closed }) => closed()), { timeoutMs: 30_000, what: 'both sides to be ended' });
    await recovers();
  });

  test.skipIf(!root)(
    `connections_vanished${root ? '' : ' (skipped: network namespaces take root)'}: peers that are cut off without a word are let go`,
    async () => {
      const other = createOtherHost(harness());
      const { address } = other;
      const far = await harness().queen({
        under: other.under,
        args: ['--host', address, '--insecure', '--allowed-host', address, '--warming', '0'],
      });
      const { pid } = far.process;
      const port = Number(new URL(far.url).port);
      await getJson(`${far.url}/healthz`);
      const held = () => {
        const connected = connectedPeers(port, pid);
        return peers.filter(({ socket }) => connected.has(socket.localPort ?? 0)).length;
      };
      const head = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`;
      const peers = [
        head('/v1/events'),
        head('/v1/events?hive=alpha'),
        head('/healthz'),
        'GET /v1/workers HTTP/1.1\r\nHost: ',
        `POST /v1/heartbeats HTTP/1.1\r\nHost: ${address}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"a"`,
      ].flatMap((text) => Array.from({ length: 10 }, () => open(text, { host: address, port })));
      await waitFor(() => peers.slice(0, 30).every(({ answer }) => answer().includes('200 OK')), { what: 'answers' });
      await waitFor(() => held() === peers.length, { what: 'connections' });
      other.blackHole(true);
      const cut = performance.now();
      // A keep-alive each 15 s, and a minute for it to be acknowledged; the kernel by itself takes a quarter of an hour.
      await waitFor(() => held() === 0, { timeoutMs: 110_000, everyMs: 250, what: 'vanished peers to be let go' });
      expect(performance.now() - cut).toBeLessThan(110_000);
      other.blackHole(false);
      expect((await getJson<{ status: string }>(`${far.url}/healthz`)).status).toBe('ok');
      await waitFor(() => descriptors(pid) <= before.descriptors + 8, {
        timeoutMs: 20_000,
        what: 'the descriptors to be given back',
      });
      expect(far.process.running).toBe(true);
    },
  );

  test('connections_pipelined: sixteen requests at once are answered in order; junk is refused, and a thousand end their connection', async () => {
    const one = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const statusesOf = async (text: string) => {
      const { answer, closed } = open(text);
      await waitFor(closed, { timeoutMs: 30_000, what: 'the connection to be closed' });
      return [...answer().matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    };
    const junk = '\x00\xff JUNK \r\n\r\n'.repeat(1000);
    // What comes with the junk in one piece is not answered before it.
    const [last, ...before] = (await statusesOf(one.repeat(maxUnanswered) + junk)).reverse();
    expect(last).toBe('400');
    expect(new Set(before)).not.toContain('400');
    expect(
      await statusesOf(`${one.repeat(maxUnanswered - 1)}${one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`),
    ).toEqual(Array(maxUnanswered).fill('200'));
    expect(new Set(await statusesOf(one.repeat(1000)))).not.toContain('400');
    await recovers();
  });

  test('connections_smuggling: two lengths, a length and chunks, chunks of nonsense: one answer, and the end', async () => {
    const head = 'POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    const hidden = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';
    for (const text of [
      `${head}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}${hidden}`,
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
      `${head}Transfer-Encoding: chunked\r\n\r\nZZZ\r\n${hidden}`,
      `${head}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n${hidden}`,
    ]) {
      const { answer, closed } = open(text);
      await waitFor(closed, { timeoutMs: 45_000, what: 'the connection to be closed' });
      const statuses = [...answer().matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
      expect(statuses, text).toHaveLength(1);
      expect(statuses[0]).toMatch(/^4/);
    }
    await recovers();
  });

  test('connections_header_flood: too many and too long headers are refused with a code', async () => {
    const many = Array.from({ length: 5000 }, (_, i) => `X-${i}: ${'a'.repeat(20)}\r\n`).join('');
    for (const text of [
      `GET / HTTP/1.1\r\nHost: localhost\r\n${many}\r\n`,
      `GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${'c'.repeat(1 << 20)}\r\n\r\n`,
      `GET /${'p'.repeat(1 << 20)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    ]) {
      const flood = Array.from({ length: 20 }, () => open(text));
      await waitFor(() => flood.every(({ closed }) => closed()), { timeoutMs: 30_000, what: 'all to be closed' });
      for (const { answer } of flood) expect(answer()).toMatch(/^$|HTTP\/1\.1 4(31|00|14)/);
      expect(flood.some(({ answer }) => answer().includes('431'))).toBe(true);
    }
    await recovers();
  });
});
