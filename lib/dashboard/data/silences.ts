/** What somebody acknowledged or silenced, as the queen keeps it: asked for again when an event says that it changed. */
import { effect, signal } from '@preact/signals';
import type { Silence } from '../../contract/silence.js';
import { client } from './client.js';
import { connection, eventsSeen, newestEvents, totals } from './fleet.js';

export const silences = signal<readonly Silence[]>([]);

const kinds: ReadonlySet<string> = new Set(['attentionSilenced', 'attentionUnsilenced']);
let asking = false;
/** What was known when they were asked for last: the run of the queen and its newest event of these kinds. */
let known = '';

async function refresh(version: string): Promise<void> {
  if (asking || version === known) return;
  asking = true;
  try {
    silences.value = (await client.silences()).items;
    known = version;
  } catch {
    // The next totals ask again.
  } finally {
    asking = false;
  }
}

/** After an act of one's own: its event may come later. */
export async function refreshSilences(): Promise<void> {
  silences.value = (await client.silences()).items;
}

export function startSilences(): void {
  effect(() => {
    eventsSeen.value;
    const fleet = totals.value;
    if (fleet === null || connection.value.kind !== 'live') return;
    const [newest] = newestEvents(({ kind }) => kinds.has(kind), 1);
    void refresh(`${fleet.queenId} ${newest?.id ?? ''}`);
  });
}
