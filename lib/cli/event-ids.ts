import type { HivepulseClient } from '../client/client.js';

/** Ids of events are `epoch-sequence`: the epoch names the stream, the sequence rises by one. */
export function splitId(id: string): readonly [epoch: string, sequence: number] {
  const dash = id.lastIndexOf('-');
  const sequence = Number(id.slice(dash + 1));
  return [id.slice(0, Math.max(0, dash)), Number.isSafeInteger(sequence) ? sequence : 0];
}

/** Whether an event is not newer than another one of the same stream. */
export function isUpTo(id: string, newest: string): boolean {
  const [epoch, sequence] = splitId(id);
  const [newestEpoch, newestSequence] = splitId(newest);
  return epoch === newestEpoch && sequence <= newestSequence;
}

/** The id `count` places before `id`. */
export function before(id: string, count: number): string {
  const [epoch, sequence] = splitId(id);
  return `${epoch}-${Math.max(0, sequence - count)}`;
}

/** Id of the newest event. A filter on a hive that is not there keeps the rows of the fleet out of the answer. */
export async function newestEventId(client: HivepulseClient, signal?: AbortSignal): Promise<string> {
  for await (const message of client.events({ hive: 'none' }, signal ? { signal } : {})) {
    if (message.type === 'snapshot') return message.data.lastEventId;
    if (message.type === 'closed') throw message.error;
  }
  return '-0';
}
