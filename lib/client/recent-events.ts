import type { FleetEvent } from '../contract/api.js';
import { before, isUpTo, splitId } from '../contract/event-ids.js';
import type { HivepulseClient } from './client.js';

/**
 * The newest events up to `lastEventId`, at most `count`, oldest first; with `hive` those of it among so many of all. Where the queen keeps fewer, half as many are asked
 * for. A stream that fails gives what it has given so far.
 */
export async function recentEvents(
  client: HivepulseClient,
  lastEventId: string,
  count: number,
  { signal, hive }: { readonly signal?: AbortSignal | undefined; readonly hive?: string } = {},
): Promise<FleetEvent[]> {
  for (let wanted = Math.min(count, splitId(lastEventId)[1]); wanted >= 1; wanted = Math.floor(wanted / 2)) {
    const events: FleetEvent[] = [];
    const options = { lastEventId: before(lastEventId, wanted), ...(signal ? { signal } : {}) };
    let isKept = true;
    // Without rows: a stream of nothing but the events since then.
    for await (const message of client.events(
      { kind: 'event,queenEvent', ...(hive !== undefined && { hive }) },
      options,
    )) {
      if (message.type === 'open') continue;
      isKept = message.type !== 'reset';
      if (message.type !== 'event' && message.type !== 'queenEvent') break;
      events.push(message.data);
      if (isUpTo(lastEventId, message.id)) break;
    }
    if (isKept) return events;
  }
  return [];
}
