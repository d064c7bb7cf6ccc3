import type { HivepulseClient } from '../client/client.js';

/** Id of the newest event. A filter on a hive that is not there keeps the rows of the fleet out of the answer. */
export async function newestEventId(client: HivepulseClient, signal?: AbortSignal): Promise<string> {
  for await (const message of client.events({ hive: 'none' }, signal ? { signal } : {})) {
    if (message.type === 'snapshot') return message.data.lastEventId;
    if (message.type === 'closed') throw message.error;
  }
  return '-0';
}
