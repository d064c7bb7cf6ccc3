import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { FleetEvent } from '../../../lib/contract/api.js';
import { useHarness } from '../../harness/harness.js';
import { connectedPeers, residentMiB } from '../../harness/resources.js';
import { createFleet } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';

/** Asks for the stream and reads nothing more than it must: `bytesPerSecond` 0 is never a byte. */
function badReader(url: string, bytesPerSecond: number) {
  const { port } = new URL(url);
  const socket = connect({ port: Number(port), host: '127.0.0.1', highWaterMark: 1024 } as never);
  let closed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
  });
  socket.pause();
  socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const timer = setInterval(() => bytesPerSecond > 0 && socket.read(Math.max(1, bytesPerSecond / 10)), 100);
  let localPort = 0;
  socket.once('connect', () => {
    localPort = socket.localPort ?? 0;
  });
  return {
    /** Whether the queen still holds its end. */
    isHeld: () => connectedPeers(Number(port)).has(localPort),
    isClosed: () => closed,
    /** What is found out only by reading on. */
    drain: () => {
      clearInterval(timer);
      socket.resume();
    },
    end: () => {
      clearInterval(timer);
      socket.destroy();
    },
  };
}

describe('readers that do not read', () => {
  const harness = useHarness();

  test('broadcast_channel_full: one never reads, one is slow, a fresh one has its events in time; memory stays flat', async () => {
    const queen = await harness().queen({ args: ['--warming', '0'] });
    // 50 workers on hives that send heartbeats ten times a second: megabytes in seconds.
    const fleet = createFleet({
      hives: 10,
      workersPerHive: 5,
      gpusPerHive: 1,
      intervalMs: 100,
      queenUrls: [queen.url],
    });
    harness().defer(() => fleet.close());
    const stuck = badReader(queen.url, 0);
    const slow = badReader(queen.url, 20_000);
    harness().defer(() => {
      stuck.end();
      slow.end();
    });
    fleet.start();
    const fresh = harness().stream(`${queen.url}/v1/events`);
    await fresh.next(({ event }) => event === 'heartbeat', 20_000);
    expect(stuck.isHeld()).toBe(true);

    // Facts while they do not read: each is at the fresh reader soon after the heartbeat that brought it.
    const delays: number[] = [];
    let parted = false;
    const flat: number[] = [];
    void queen.process.line(/an event stream was closed: its reader did not keep up/, 170_000).then(
      () => {
        parted = true;
      },
      () => undefined,
    );
    const deadline = performance.now() + 120_000;
    for (let round = 0; !parted && performance.now() < deadline; round += 1) {
      const hive = fleet.hives[round % fleet.hives.length]!;
      const started = hive.addWorker();
      const at = performance.now();
      const message = await fresh.next(
        ({ event, data }) =>
          event === 'event' &&
          (data as FleetEvent).kind === 'workerStarted' &&
          (data as FleetEvent).hive === hive.id &&
          (data as FleetEvent).workerId === started,
        20_000,
      );
      delays.push(message.at - at);
      hive.killWorker(started, 'exit');
      flat.push(residentMiB(queen.process.pid));
    }
    expect(parted).toBe(true);
    delays.sort((a, b) => a - b);
    // An interval of its hive, and the machine's own load: far from the half minute that the stuck one is given.
    expect(delays[Math.floor(delays.length / 2)]).toBeLessThan(1500);
    // Both may be parted with; the one that never reads must be, and with a count.
    const line = queen.process.lines.find((text) => text.includes('did not keep up'))!;
    const said = JSON.parse(line) as { count: number; behindMs: number; dropped: number; unsent: number };
    expect(said.count).toBe(1);
    expect(said.behindMs).toBeGreaterThanOrEqual(30_000);
    expect(said.dropped + said.unsent).toBeGreaterThan(0);
    stuck.drain();
    await waitFor(() => stuck.isClosed(), { what: 'the stuck reader to find itself closed' });
    await waitFor(() => !stuck.isHeld(), { what: 'its descriptor to be given back' });
    // Flat: the second half is not above the first by more than a process breathes.
    const half = Math.floor(flat.length / 2);
    const highest = (values: readonly number[]) => Math.max(...values);
    expect(highest(flat.slice(half))).toBeLessThan(highest(flat.slice(0, half)) + 48);
    const lagged = fresh.messages.filter(({ event }) => event === 'lagged');
    expect(lagged).toEqual([]);
  });
});
