import { expect, it, vi } from 'vitest';
import { EventStream } from '../../lib/cluster/event-stream.js';
import { hiveEventSubject } from '../../lib/nats/subjects.js';
import { Registry } from '../../lib/queen/registry.js';

it('of one hive 500 events a second are read, 12,000 at once; those of others are read beside it', () => {
  let nowMs = 0;
  const registry = new Registry({ warmingMs: 0 });
  const deliver = vi.spyOn(registry, 'deliver');
  const stream = new EventStream(
    registry,
    () => undefined,
    () => nowMs,
  );
  stream.begin({ created: '2026-01-02T03:04:05Z', state: { messages: 0, first_seq: 1, last_seq: 0 } } as never);
  let sequence = 0;
  const seqs: Record<string, number> = {};
  const publish = (hive: string, count: number): number => {
    deliver.mockClear();
    for (let i = 0; i < count; i++) {
      const seq = (seqs[hive] ?? 0) + 1;
      seqs[hive] = seq;
      const at = '2026-01-02T03:04:05.000Z';
      const event = { at, kind: 'workerStarted', hive, incarnation: 'run-1', seq, detail: {} };
      const data = Buffer.from(JSON.stringify(event));
      stream.receive({ seq: ++sequence, subject: hiveEventSubject(hive), data, time: new Date(at) } as never);
    }
    return deliver.mock.calls.length;
  };
  expect(publish('a', 12_100)).toBe(12_000);
  expect(publish('b', 10)).toBe(10);
  nowMs += 1000;
  expect(publish('a', 600)).toBe(500);
});
