import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Act, apply, decisionActs, readAct, silenceAct } from '../../lib/cluster/acts.js';
import type { SilenceRequest } from '../../lib/contract/silence.js';
import { AttentionMonitor, newsMessage } from '../../lib/queen/attention-monitor.js';
import { keepSilences, parseSilences, silencesFile } from '../../lib/queen/silence-file.js';
import { silenceKey, targetOf } from '../../lib/queen/silences.js';
import { gpuSample, TestQueen } from './heartbeats.js';

const start = Date.parse('2026-03-01T00:00:00Z');
const acknowledge: SilenceRequest = {
  kind: 'acknowledged',
  cause: 'gpuLost',
  hives: ['a'],
  reason: 'ordered',
  by: 'kim',
};

function queenAt(clock: { wallMs: number }, warmingMs = 0): TestQueen {
  return new TestQueen({ wallClock: () => clock.wallMs, warmingMs });
}
const requestFor = (hive: string | null, by: string): SilenceRequest => {
  const { hives: _, ...everywhere } = acknowledge;
  return { ...everywhere, by, ...(hive !== null && { hives: [hive] }) };
};
/** In an order that is drawn. */
function deliver(queen: TestQueen, acts: readonly Act[], order: Iterator<number>): void {
  const left = [...acts];
  while (left.length > 0) {
    const [act] = left.splice((order.next().value as number) % left.length, 1);
    apply(queen, readAct(Buffer.from(JSON.stringify(act)))!);
  }
}
/** A heartbeat of a host whose GPU is lost, or well. */
const hear = (queen: TestQueen, id: string, seq: number, isLost: boolean) =>
  queen.hear(id, seq, { gpus: [{ ...gpuSample(`GPU-${id}`), ...(isLost && { health: 'lost' as const }) }] });
const events = (queen: TestQueen) =>
  queen.events
    .recent()
    .filter(({ kind }) => kind.startsWith('attention'))
    .map(({ kind, hive, detail }) => ({ kind, hive, detail }));

describe('silences', () => {
  it('say who, why and until when, and end by themselves', () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock);
    expect(queen.silences.set({ ...acknowledge, expiresInSeconds: 3600 })).toHaveLength(1);
    expect(queen.silences.list()).toEqual([
      {
        kind: 'acknowledged',
        cause: 'gpuLost',
        hive: 'a',
        reason: 'ordered',
        by: 'kim',
        since: '2026-03-01T00:00:00.000Z',
        expiresAt: '2026-03-01T01:00:00.000Z',
      },
    ]);
    clock.wallMs += 3_600_000;
    queen.advance();
    expect(queen.silences.list()).toEqual([]);
    expect(events(queen)).toMatchObject([
      { kind: 'attentionSilenced', hive: 'a', detail: { cause: 'gpuLost', by: 'kim', reason: 'ordered' } },
      { kind: 'attentionUnsilenced', hive: 'a', detail: { cause: 'gpuLost', kind: 'acknowledged', expired: true } },
    ]);
    // Without a word on it they last a day, and those of the whole fleet name no host.
    const { hives: _, ...everywhere } = acknowledge;
    queen.silences.set(everywhere);
    expect(queen.silences.list()).toMatchObject([{ hive: null, expiresAt: '2026-03-02T01:00:00.000Z' }]);
    expect(queen.silences.lift('gpuLost', 'a')).toBeNull();
    expect(queen.silences.lift('gpuLost', null)).not.toBeNull();
    expect(queen.silences.list()).toEqual([]);
  });

  it('outlive a restart, without entries that are none', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'hivepulse-silences-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const clock = { wallMs: start };
    const warnings: string[] = [];
    const before = queenAt(clock);
    const kept = await keepSilences(before.silences, dir, (text) => warnings.push(text));
    before.silences.set(acknowledge);
    await kept.saved();
    await kept.close();
    const saved = JSON.parse(await readFile(join(dir, silencesFile), 'utf8')) as { entries: unknown[] };
    expect(parseSilences(JSON.stringify({ ...saved, version: 2 }))).toHaveProperty('reason');
    const after = queenAt(clock);
    const [entry] = saved.entries as [Record<string, unknown>];
    for (const wrong of [
      { ...entry, key: 'b gpuLost' },
      { ...entry, atMs: start + 3_600_000 },
      { ...entry, silence: 1 },
      7,
    ])
      expect(after.silences.adopt(wrong)).toBe(false);
    await (await keepSilences(after.silences, dir, (text) => warnings.push(text))).close();
    expect(after.silences.list()).toEqual(before.silences.list());
    expect(warnings).toEqual([]);
  });

  it('are the same at all queens, in whatever order they come, also at one that comes later', () => {
    const step = fc.record({ at: fc.nat(2), hive: fc.constantFrom('a', null), lift: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 10 }), fc.infiniteStream(fc.nat()), (steps, order) => {
        const clock = { wallMs: start };
        const queens = [0, 1, 2].map(() => queenAt(clock));
        const sent: Act[] = [];
        for (const { at, hive, lift } of steps) {
          clock.wallMs += 10;
          const { silences } = queens[at]!;
          const entry = lift ? silences.lift('gpuLost', hive) : silences.set(requestFor(hive, `queen ${at}`))![0]!;
          if (entry !== null) sent.push(silenceAct(entry));
        }
        const late = queenAt(clock);
        for (const queen of queens) deliver(queen, sent, order);
        for (const act of decisionActs(queens[1]!)) apply(late, act);
        for (const queen of [...queens, late]) expect(queen.silences.list()).toEqual(queens[0]!.silences.list());
      }),
    );
  });

  it('a key says what it is of, whatever the cause', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('host-1', 'a.b:c', null), (cause, hive) => {
        expect(targetOf(silenceKey(cause, hive))).toEqual({ cause, hive });
      }),
    );
  });
});

describe('news of what needs attention', () => {
  it('comes once it has lasted, once, and again when it is over; nothing while the queen is warming', () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock, 5000);
    const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
    let seq = 0;
    const look = (isLost: boolean, afterMs = 1000) => {
      queen.time.advance(afterMs);
      hear(queen, 'a', ++seq, isLost);
      const news = monitor.look();
      return news && [news.opened.map(({ title }) => title), news.closed.map(({ title }) => title)];
    };
    for (let seconds = 0; seconds < 4; seconds++) expect(look(true)).toBeNull();
    // It began with the first look after that.
    for (let seconds = 0; seconds < 10; seconds++) expect(look(true)).toBeNull();
    expect(look(true)).toEqual([['a GPU 0'], []]);
    expect(look(true)).toBeNull();
    for (let seconds = 0; seconds < 9; seconds++) expect(look(false)).toBeNull();
    // Back before it was over for long: no news.
    expect(look(true)).toBeNull();
    for (let seconds = 0; seconds < 9; seconds++) expect(look(false)).toBeNull();
    expect(look(false)).toEqual([[], ['a GPU 0']]);
    expect(look(false)).toBeNull();
  });

  it('what is acknowledged is no news, and is open again where it was over for a minute and comes back', () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock);
    const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
    let seq = 0;
    const look = (isLost: boolean, times: number) =>
      Array.from({ length: times }, () => {
        queen.time.advance(1000);
        hear(queen, 'a', ++seq, isLost);
        return monitor.look();
      }).filter((news) => news !== null);
    queen.silences.set(acknowledge);
    queen.silences.set({ ...acknowledge, kind: 'silenced', cause: 'gpuStalled' });
    expect(look(true, 30)).toEqual([]);
    expect(look(false, 59)).toEqual([]);
    expect(queen.silences.list()).toHaveLength(2);
    expect(look(false, 2)).toEqual([]);
    expect(queen.silences.list()).toMatchObject([{ kind: 'silenced' }]);
    expect(look(true, 30)).toMatchObject([{ opened: [{ title: 'a GPU 0' }] }]);
  });

  it('what a host has no room to say is not said to be over, nor what is acknowledged of it', () => {
    const queen = queenAt({ wallMs: start });
    const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
    const faults = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ source: 'gpu', code: 'GPU_IS_LOST', message: 'x', field: `f${i}` }));
    let seq = 0;
    const look = (count: number, isLost: boolean) => {
      queen.time.advance(1000);
      const gpus = [{ ...gpuSample('GPU-a'), ...(isLost && { health: 'lost' as const }) }];
      queen.hear('a', ++seq, { gpus, faults: faults(count) as never });
      return monitor.look();
    };
    queen.silences.set({ ...acknowledge, cause: 'gpuDegraded' });
    const opened = Array.from({ length: 20 }, () => look(0, true)).filter((news) => news !== null);
    expect(opened).toHaveLength(1);
    for (let seconds = 0; seconds < 100; seconds++) expect(look(1000, true)?.closed ?? []).toEqual([]);
    expect(queen.silences.list()).toHaveLength(1);
    const closed = Array.from({ length: 20 }, () => look(0, false)).flatMap((news) => news?.closed ?? []);
    expect(closed.flatMap(({ items }) => items.map(({ title }) => title))).toContain('a GPU 0');
  });

  it('a message is bounded, and nothing in it is a mention, a link or markup where it is shown', () => {
    const queen = queenAt({ wallMs: start });
    const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
    for (let seq = 1; seq < 12; seq++) {
      queen.time.advance(1000);
      for (let host = 0; host < 20; host++)
        queen.hear(`host-${host}`, seq, {
          faults: Array.from({ length: 50 }, (_, i) => ({
            source: 'gpu',
            code: `MADE_UP_${host}_${i}`,
            message: `<!channel> <https://evil.example|look> @everyone \u202e\u001b]8;;x ${'x'.repeat(900)}`,
          })) as never,
        });
      const news = monitor.look();
      if (news === null) continue;
      expect(news.opened).toHaveLength(1000);
      const message = newsMessage(news, 'q1', start) as { text: string; data: { text: string; opened: unknown[] } };
      expect(message.data.opened).toHaveLength(100);
      expect(message.text.split('\n')).toHaveLength(101);
      expect(message.text).toContain('and 900 more');
      for (const mark of ['<', '>', '@', '\u202e', '\u001b']) expect(message.text).not.toContain(mark);
      expect(JSON.stringify(message).length).toBeLessThan(400_000);
      return;
    }
    expect.fail('there was no news');
  });

  it('has a text for people in the words of the page, and lines for programs', () => {
    const queen = queenAt({ wallMs: start });
    const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
    for (let seq = 1; seq < 12; seq++) {
      queen.time.advance(1000);
      for (const id of ['a', 'b']) hear(queen, id, seq, true);
      const news = monitor.look();
      if (news === null) continue;
      expect(newsMessage(news, 'q1', start)).toMatchObject({
        type: 'hivepulse.attention',
        timestamp: '2026-03-01T00:00:00.000Z',
        text: expect.stringMatching(/^critical: 2 GPUs lost\. On a, b\. It fell off the bus/),
        data: {
          queenId: 'q1',
          opened: [{ cause: 'gpuLost', severity: 'critical', count: 2, hives: ['a', 'b'] }],
          closed: [],
        },
      });
      return;
    }
    expect.fail('there was no news');
  });
});
