import { expect, it, onTestFinished, vi } from 'vitest';
import { showEvents } from '../../lib/cli/event-tail.js';
import { printJsonLines } from '../../lib/cli/output.js';
import type { HivepulseClient } from '../../lib/client/client.js';

it('events since a time are those from it on, whatever was before', async () => {
  const start = Date.parse('2026-03-01T00:00:00Z');
  const events = [0, 1, 2, 3].map((hours) => ({
    id: `a-${hours + 1}`,
    at: new Date(start + hours * 3_600_000).toISOString(),
    kind: 'hiveJoined',
    hive: `host-${hours}`,
    detail: {},
  }));
  let streams = 0;
  const client = {
    url: 'http://queen',
    async *events() {
      streams += 1;
      if (streams === 1)
        yield { type: 'snapshot', data: { hives: [], workers: [], warming: false, lastEventId: 'a-4' } };
      else for (const data of events) yield { type: 'queenEvent', id: data.id, data };
    },
  } as unknown as HivepulseClient;
  const written: string[] = [];
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  onTestFinished(() => spy.mockRestore());
  const wanted = { hive: undefined, kinds: undefined, worker: undefined, fromMs: start + 2 * 3_600_000 };
  await showEvents(client, wanted, 10_000, false, printJsonLines);
  expect(written.join('').match(/host-\d/g)).toEqual(['host-2', 'host-3']);
});
