import { describe, expect, test } from 'vitest';
import { useHarness } from '../../harness/harness.js';
import { MessageProxy } from '../../harness/message-proxy.js';
import { FaultyProxy } from '../../harness/proxy.js';
import { residentMiB } from '../../harness/resources.js';
import { waitFor } from '../../harness/wait.js';
import { notFollowed, StreamedHive } from './streamed-hive.js';

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
    const proxy = await MessageProxy.before(queen.url);
    harness().defer(() => proxy.close());
    proxy.refusesUpgrades = status;
    const hive = new StreamedHive(harness(), proxy.url);
    await hive.recovers(queen);
    await hive.sendSeveral(3);
    expect(hive.said).toEqual([expect.stringContaining(`answers ${status}`)]);
  });

  test('stream_queen_ends: it says when to come back, and the next queen is sent everything', async () => {
    const { queen, hive, proxy } = await behindProxy();
    const { port } = new URL(queen.url);
    await queen.process.stop();
    expect((await hive.sendAnswered()).kind).toBe('failed');
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
    // One that wants an answer: another may be written before the end of the connection is heard of.
    expect((await hive.sendAnswered()).kind).toBe('failed');
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
