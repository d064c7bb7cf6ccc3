import type { FleetEvent } from '../../contract/api.js';
import { address } from './api.js';

const wanted = 500;
const deadlineMs = 5000;

/** Ids are `epoch-sequence`: the place `wanted` events before this one; null where nothing came before. */
export function placeBefore(id: string): string | null {
  const dash = id.lastIndexOf('-');
  const sequence = Number(id.slice(dash + 1));
  return dash > 0 && Number.isSafeInteger(sequence) && sequence > 0
    ? `${id.slice(0, dash)}-${Math.max(0, sequence - wanted)}`
    : null;
}

/** The `data` of each whole message in `text`, and what is left of a message that has not ended. */
export function takeMessages(text: string): { readonly data: string[]; readonly rest: string } {
  const parts = text.replaceAll('\r\n', '\n').split('\n\n');
  const rest = parts.pop() ?? '';
  const data = parts.map((part) =>
    part
      .split('\n')
      .filter((line) => line.startsWith('data:'))
      .map((line) => line.slice(5).trimStart())
      .join('\n'),
  );
  return { data: data.filter((text) => text !== ''), rest };
}

/** The newest events up to `lastEventId`, oldest first; what can't be had is left out. */
export async function loadRecentEvents(lastEventId: string): Promise<FleetEvent[]> {
  const from = placeBefore(lastEventId);
  if (from === null) return [];
  const events: FleetEvent[] = [];
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), deadlineMs);
  try {
    // Without rows, and told where to resume: a stream of nothing but what this page has missed.
    const response = await fetch(address('v1/events?kind=event,queenEvent'), {
      headers: { accept: 'text/event-stream', 'last-event-id': from },
      credentials: 'same-origin',
      cache: 'no-store',
      signal: end.signal,
    });
    if (!response.ok || !response.body) return [];
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const taken = takeMessages(text + value);
      text = taken.rest;
      for (const data of taken.data) {
        const event = JSON.parse(data) as Partial<FleetEvent>;
        if (typeof event.id === 'string' && typeof event.kind === 'string') events.push(event as FleetEvent);
      }
      if (events.some((event) => event.id === lastEventId)) break;
    }
  } catch {
    // Too late, or cut off: what came is shown.
  } finally {
    clearTimeout(timer);
    end.abort();
  }
  return events;
}
