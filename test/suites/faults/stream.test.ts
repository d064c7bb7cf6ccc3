import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { HiveView, WorkerView } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import type { SendOutcome } from '../../../lib/hive/transport.js';
import { StreamTransport } from '../../../lib/hive/transport-stream.js';
import { type Daemon, getJson, type Harness, useHarness } from '../../harness/harness.js';
import { FaultyProxy } from '../../harness/proxy.js';
import { residentMiB } from '../../harness/resources.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';

/** What a hive does where one heartbeat could not be sent, in short. */
const failed = (error: unknown): SendOutcome => ({
  kind: 'failed',
  failure: { code: 'FAILED', message: String(error) },
  retryAfterMs: null,
});

/** A hive that sends by a stream, one heartbeat at a time. */
class StreamedHive {
  readonly said: string[] = [];
  readonly hive = new SimulatedHive({ id: 'alpha', workers: 4, gpus: 2, asksEngines: true });
  readonly #transport: StreamTransport;
  last!: Heartbeat;

  constructor(harness: Harness, url: string) {
    const log = { info: (_: object, message: string) => void this.said.push(message), warn: () => undefined };
    this.#transport = new StreamTransport(url, { log });
    harness.defer(() => this.#transport.close());
  }

  /** Sends the next one; ends as a hive's own deadline does. */
  async sendNext(changes: Partial<Heartbeat> = {}): Promise<SendOutcome> {
    this.last = { ...this.hive.nextHeartbeat(), ...changes };
    const outcome = await this.#transport.send(this.last, AbortSignal.timeout(8000)).catch(failed);
    if (outcome.kind === 'ack') this.hive.acknowledge(outcome.reply.ackEventSeq);
    return outcome;
  }

  async sendSeveral(count: number): Promise<void> {
    for (let i = 0; i < count; i++) expect(await this.sendNext()).toMatchObject({ kind: 'ack' });
  }

  /** Sends until the queen answers that it has one, as a hive would go on; then the queen knows just what was sent. */
  async recovers(queen: Daemon): Promise<void> {
    // Text, so that its answer is waited for.
    let count = 0;
    await waitFor(
      async () => {
        const message = `m${++count}`;
        return (await this.sendNext({ faults: [{ source: 'hive', code: 'X', message }] })).kind === 'ack';
      },
      { timeoutMs: 30_000, what: 'a heartbeat to be taken again' },
    );
    const { host, faults, liveness } = await getJson<HiveView>(`${queen.url}/v1/hives/alpha`);
    expect({ host, faults, liveness }).toEqual({ host: this.last.host, faults: this.last.faults, liveness: 'online' });
    const { items } = await getJson<{ items: WorkerView[] }>(`${queen.url}/v1/workers`);
    expect(items.map(({ id, cpuPercent }) => [id, cpuPercent]).toSorted()).toEqual(
      this.last.workers.map(({ id, cpuPercent }) => [id, cpuPercent]).toSorted(),
    );
  }
}

/** Passes requests on, and answers each upgrade by itself. */
async function refusesUpgrades(harness: Harness, queen: Daemon, status: number): Promise<string> {
  const { hostname, port } = new URL(queen.url);
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const onward = request({ host: hostname, port, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  server.on('upgrade', (_, socket) => socket.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\n\r\n`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  harness.defer(() => new Promise<void>((resolve) => void server.close(() => resolve()).closeAllConnections()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Messages of streams that a queen could not follow, by its own count. */
const notFollowed = async (queen: Daemon): Promise<number> => {
  const text = await (await fetch(`${queen.url}/metrics`)).text();
  const counts = text.matchAll(/_refused_total\{[^}]*"(?:CHECKSUM_MISMATCH|INVALID_HEARTBEAT)"[^}]*\} (\d+)/g);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
};

describe('the heartbeat stream', () => {
  const harness = useHarness();

  const behindProxy = async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const proxy = await FaultyProxy.before(queen.url);
    harness().defer(() => proxy.close());
    const hive = new StreamedHive(harness(), proxy.url);
    await hive.sendSeveral(7);
    expect(proxy.accepted).toBe(1);
    return { queen, proxy, hive };
  };

  test('stream_stalled: a connection that leads nowhere is left within three seconds, and the hive stays online', async () => {
    const { queen, proxy, hive } = await behindProxy();
    proxy.stall();
    const begun = performance.now();
    // What wants an answer gets none: it says so long before a queen would call the hive offline.
    await waitFor(async () => (await hive.sendNext()).kind === 'failed', {
      timeoutMs: 10_000,
      what: 'a missing answer',
    });
    expect(performance.now() - begun).toBeLessThan(8000);
    await hive.recovers(queen);
    expect(proxy.accepted).toBe(2);
    expect(hive.said).toEqual([]);
  });

  test('stream_cut: once it connects anew, twice in a minute it sends by POST, which is said once', async () => {
    const { queen, proxy, hive } = await behindProxy();
    for (let cut = 0; cut < 2; cut++) {
      proxy.become({ kind: 'none' });
      await waitFor(() => proxy.open === 0, { what: 'the connection to end' });
      await hive.recovers(queen);
    }
    expect(hive.said).toEqual([expect.stringContaining('by POST for ten minutes')]);
    await hive.sendSeveral(5);
    expect(hive.said).toHaveLength(1);
  });

  test('stream_corrupted: a bit that was turned over on the way is noticed, and all is sent anew', async () => {
    const { queen, proxy, hive } = await behindProxy();
    expect(await notFollowed(queen)).toBe(0);
    proxy.flipBit();
    // A checksum comes with each 16th delta.
    for (let i = 0; i < 40; i++) await hive.sendNext();
    await hive.recovers(queen);
    expect(await notFollowed(queen)).toBe(1);
  });

  test.each([404, 405, 426, 501])('stream_refused: a proxy that answers %i to upgrades', async (status) => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const hive = new StreamedHive(harness(), await refusesUpgrades(harness(), queen, status));
    await hive.recovers(queen);
    await hive.sendSeveral(3);
    expect(hive.said).toEqual([expect.stringContaining(`answers ${status}`)]);
  });

  test('stream_queen_ends: it says when to come back, and the next queen is sent everything', async () => {
    const { queen, hive, proxy } = await behindProxy();
    const { port } = new URL(queen.url);
    await queen.process.stop();
    expect((await hive.sendNext()).kind).toBe('failed');
    const next = await harness().queen({ args: ['--warming', '0', '--port', port] });
    await hive.recovers(next);
    expect(proxy.accepted).toBeGreaterThan(1);
    expect(hive.said).toEqual([]);
  });

  test('stream_queen_killed: the next queen is sent everything', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const { port } = new URL(queen.url);
    const hive = new StreamedHive(harness(), queen.url);
    await hive.sendSeveral(7);
    queen.process.signalGroup('SIGKILL');
    await queen.process.ended();
    expect((await hive.sendNext()).kind).toBe('failed');
    await hive.recovers(await harness().queen({ args: ['--warming', '0', '--port', port] }));
  });

  test('stream_queen_stopped: what a queen does not read is not queued, and is sent as what it is by then', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    const hive = new StreamedHive(harness(), queen.url);
    await hive.sendSeveral(7);
    const before = residentMiB(process.pid);
    process.kill(queen.process.pid, 'SIGSTOP');
    try {
      await waitFor(async () => (await hive.sendNext()).kind === 'failed', {
        timeoutMs: 12_000,
        what: 'a missing answer',
      });
      await hive.sendNext();
      expect(residentMiB(process.pid)).toBeLessThan(before + 64);
    } finally {
      process.kill(queen.process.pid, 'SIGCONT');
    }
    await hive.recovers(queen);
  });
});
