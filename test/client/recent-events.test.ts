import { describe, expect, it } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';
import { recentEvents } from '../../lib/client/recent-events.js';
import type { FleetEvent } from '../../lib/contract/api.js';
import { splitId } from '../../lib/contract/event-ids.js';
import { sseMessage } from '../../lib/http/sse.js';

const eventOf = (id: string): FleetEvent => ({ id, at: '2026-01-05T10:00:00Z', kind: 'xid', hive: 'a', detail: {} });

/** A queen that has had events up to `newest` and keeps the last `kept` of them. */
function queenWith(newest: number, kept: number, epoch = 'ab') {
  const asked: string[] = [];
  const answer = async (_url: string, init: RequestInit): Promise<Response> => {
    const from = new Headers(init.headers).get('last-event-id') ?? '';
    asked.push(from);
    const since = splitId(from)[1];
    const ids = Array.from({ length: newest - since }, (_, i) => `${epoch}-${since + i + 1}`);
    const position = JSON.stringify({ lastEventId: `${epoch}-${newest}` });
    const text =
      ids.length > kept
        ? sseMessage('reset', position)
        : ids.map((id) => sseMessage('event', JSON.stringify(eventOf(id)), id)).join('');
    return new Response(text + sseMessage('position', position), { headers: { 'content-type': 'text/event-stream' } });
  };
  return { asked, client: new HivepulseClient({ url: 'http://queen.example', fetch: answer as typeof fetch }) };
}

describe('events from before a stream was opened', () => {
  it.each([
    ['ab12', 1200, 500, ['ab12-700'], 500],
    ['ab-12', 30, 500, ['ab-12-0'], 30],
    ['ab12', 1200, 130, ['ab12-700', 'ab12-950', 'ab12-1075'], 125],
    ['ab12', 0, 500, [], 0],
  ])('of %s-%i with %i kept it asks from %j and gets %i', async (epoch, newest, kept, from, count) => {
    const { asked, client } = queenWith(newest, kept, epoch);
    const events = await recentEvents(client, `${epoch}-${newest}`, 500);
    expect(asked).toEqual(from);
    expect(events.map(({ id }) => id)).toEqual(
      Array.from({ length: count }, (_, i) => `${epoch}-${newest - count + i + 1}`),
    );
  });

  it.each(['nonsense', ''])('of %j, which is no id, there are none', async (id) => {
    expect(await recentEvents(queenWith(9, 9).client, id, 500)).toEqual([]);
  });
});
