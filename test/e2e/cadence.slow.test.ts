import { describe, expect, test, vi } from 'vitest';
import { Control } from '../harness/control.js';
import { useHarness } from '../harness/harness.js';
import { HeartbeatSink } from '../harness/heartbeat-sink.js';
import { waitFor } from '../harness/wait.js';

vi.setConfig({ testTimeout: 90_000 });

describe('a hive as a process', () => {
  const harness = useHarness();

  test.each([
    ['by its stream', []],
    ['by POST', ['--no-stream']],
  ])('heartbeat cadence %s: 3 or 4 in 3.5 s', async (_way, flags) => {
    const control = await Control.start(harness());
    const queen = await HeartbeatSink.start();
    harness().defer(() => queen.close());
    const own = ['--runtime-dir', harness().directory()];
    await harness().hive([queen.url], { args: ['--gpu', 'none', '--no-auto', ...flags, ...own] });
    const settled = await waitFor(() => queen.heard[2], { timeoutMs: 30_000, what: 'the first heartbeats' });
    // Between two heartbeats, so that neither end of the window falls on one.
    const from = settled.at + 300;
    const until = from + 3500;
    await waitFor(() => performance.now() > until, { what: 'the end of the window' });
    const inside = queen.heard.filter(({ at }) => at >= from && at < until);
    const late = control.lateMs(from, until);
    // On a machine that is not overloaded `late` is some tens of ms, and the count exactly what is claimed.
    const allowed = Math.floor(late / 500);
    const told = `${inside.length} at ${inside.map(({ at }) => Math.round(at - from))}, control ${Math.round(late)} ms late`;
    expect(inside.length, told).toBeGreaterThanOrEqual(3 - allowed);
    expect(inside.length, told).toBeLessThanOrEqual(4 + allowed);
    const seqs = queen.heard.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });
});
