/** Figures of what the panel shows that the stream leaves out: asked for each second while it is open and looked at. */
import { computed, effect } from '@preact/signals';
import { client } from './client.js';
import { connection, mirror } from './fleet.js';
import { at, parseShown } from './location.js';

const everyMs = 1000;

async function ask(text: string): Promise<void> {
  const shown = parseShown(text);
  if (shown === null) return;
  const hive =
    shown.kind === 'hive' ? shown.id : shown.kind === 'gpu' ? shown.hive : shown.key.slice(0, shown.key.indexOf('/'));
  // What is gone has no details: nothing is asked for that a browser would call an error.
  if (!mirror.hives.has(hive) || (shown.kind === 'worker' && !mirror.workers.has(shown.key))) return;
  const [view, worker] = await Promise.all([
    client.hive(hive),
    shown.kind === 'worker' ? client.worker(shown.key) : null,
  ]);
  mirror.addDetails(view, worker);
}

/** Each message makes another value of the connection, most often the same. */
const isLive = computed(() => connection.value.kind === 'live');

export function startDetails(): void {
  effect(() => {
    const shown = at.show.value;
    if (shown === '' || !isLive.value) return;
    let gone = false;
    let timer = 0;
    const next = async () => {
      if (document.visibilityState === 'visible') await ask(shown).catch(() => {});
      if (!gone) timer = window.setTimeout(next, everyMs);
    };
    void next();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  });
}
