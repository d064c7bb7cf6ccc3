import { describe, expect, test } from 'vitest';
import { wholeAnswer } from '../fakes/engines/serving-engine.js';
import { cgroupSuite } from '../harness/cgroups.js';
import { useHarness } from '../harness/harness.js';
import { startPrometheus } from '../harness/prometheus.js';
import { hasTmux, Terminal } from '../harness/terminal.js';
import { waitFor } from '../harness/wait.js';
import { hasPrometheus, withoutPrometheus } from '../metrics/tools.js';
import { workersOf } from './fleet.js';
import { askChat, startServingScene } from './serving-scene.js';

const suite = cgroupSuite('four engines behind the example router');
const tokens = 60;
const stalled = 'llm/sglang';

const isStallOf = (data: unknown, worker: string): boolean => {
  const { kind, workerId } = data as { kind?: unknown; workerId?: unknown };
  return kind === 'workerStalled' && workerId === worker;
};

describe.skipIf(suite.skip || !hasPrometheus)(`${suite.title}${withoutPrometheus}`, () => {
  const harness = useHarness();

  test('lose none of 200 parallel streams when one of them stalls midway, and show what they had to do', async () => {
    const { queen, engines, startRouter } = await startServingScene(harness());
    const router = await startRouter({ FIRST_BYTE_MS: '12000' });
    const prometheus = await startPrometheus(harness(), queen.url);
    const stream = harness().stream(`${queen.url}/v1/events`);
    await waitFor(
      async () => {
        const all = await workersOf(queen);
        return all.length === engines.size && all.every(({ ready, serving }) => ready === true && serving !== null);
      },
      { timeoutMs: 30_000, everyMs: 200, what: 'all engines to be ready and to say their load' },
    );
    const terminal = hasTmux ? new Terminal(['--queen', queen.url], 170, 30) : null;
    harness().defer(() => terminal?.close());
    await terminal?.shows(/4 workers/);
    terminal?.keys('2');

    const answers = Promise.all(Array.from({ length: 200 }, (_, i) => askChat(router.url, i, tokens)));
    // Page and queries show the work while it is done.
    await waitFor(async () => (await workersOf(queen, '?sort=-waiting')).some(({ serving }) => serving!.waiting! > 0), {
      timeoutMs: 10_000,
      everyMs: 200,
      what: 'requests that wait',
    });
    await terminal?.shows(/RUN +WAIT +TOKENS[\s\S]*llm\/llama .*saturat.* 4 +[1-9]\d* +\d+\/s/);
    const texts = await answers;
    expect(texts.filter((text) => text !== wholeAnswer(tokens))).toEqual([]);

    // The stalled one was sent requests, and what it had not begun went elsewhere.
    const its = engines.get(stalled)!;
    expect(its.isStalled).toBe(true);
    expect(its.received).toBeGreaterThan(its.begun);
    const finished = [...engines.values()].map((engine) => engine.finished);
    expect(finished.reduce((sum, count) => sum + count)).toBe(200);
    for (const count of finished) expect(count).toBeGreaterThan(0);

    // The fastest may be done between two scrapes.
    for (const [family, least] of [
      ['hivepulse_fleet_worker_requests_running', engines.size - 1],
      ['hivepulse_fleet_worker_requests_waiting', 1],
      ['hivepulse_fleet_worker_generation_tokens_per_second', engines.size - 1],
    ] as const) {
      const seen = await prometheus.query(`max_over_time(${family}[5m]) > 0`);
      expect(seen.length, family).toBeGreaterThanOrEqual(least);
    }

    const { data } = await stream.next((message) => isStallOf(message.data, stalled), 60_000);
    expect(data).toMatchObject({ kind: 'workerStalled', workerId: stalled });
    const worker = await waitFor(
      async () => (await workersOf(queen)).find(({ id, state }) => id === stalled && state === 'stalled'),
      { timeoutMs: 10_000, everyMs: 200, what: `${stalled} to be stalled` },
    );
    expect(worker.serving?.running).toBe(0);
    expect(worker.serving?.waiting).toBeGreaterThan(0);
    // Nothing is sent there any more.
    const before = its.received;
    const later = await Promise.all(Array.from({ length: 20 }, (_, i) => askChat(router.url, 1000 + i, 4)));
    expect(later.filter((text) => text !== wholeAnswer(4))).toEqual([]);
    expect(its.received).toBe(before);
  }, 180_000);
});
