/** What was seen and is gone, as the queen keeps it: asked for when the totals say that it changed. */
import { effect, signal } from '@preact/signals';
import type { Session } from '../../contract/api.js';
import type { Missing } from '../../contract/missing.js';
import { client } from './client.js';
import { totals } from './fleet.js';

export const missing = signal<readonly Missing[]>([]);
/** What this browser may do; null: not known yet. */
export const session = signal<Session | null>(null);

/** Most that are listed; the counts are of all. */
const maxListed = 1000;
let listedAtMs = 0;
let listed = '';

/** How long it has been missing by now. */
export const missingMsOf = ({ missingMs }: Missing): number => missingMs + performance.now() - listedAtMs;

let asking = false;

/** Whether this person may change what the queen keeps. */
export const isAdmin = (): boolean =>
  session.value !== null && (!session.value.required || session.value.role === 'admin');

/** Asks for the list where it is another than the one shown. A list that cannot be had stays as it was. */
async function refresh(): Promise<void> {
  const fleet = totals.value;
  if (fleet === null || asking) return;
  const version = `${fleet.queenId} ${fleet.missing.revision}`;
  if (version === listed) return;
  asking = true;
  try {
    const { hives, gpus, workers } = fleet.missing;
    missing.value = hives + gpus + workers === 0 ? [] : (await client.missing({ limit: maxListed })).items;
    listedAtMs = performance.now();
    listed = version;
  } catch {
    // The next totals ask again.
  } finally {
    asking = false;
  }
}

/** Has the queen forget it. @throws HivepulseError */
export async function forget(item: Missing): Promise<void> {
  await client.forget(item);
  const isForgotten = ({ kind, key, hive }: Missing) =>
    item.kind === 'hive' ? hive === item.key : kind === item.kind && key === item.key;
  missing.value = missing.value.filter((each) => !isForgotten(each));
}

export function startMissing(): void {
  effect(() => {
    totals.value;
    void refresh();
  });
  effect(() => {
    // Who one is may change with each log-in, after which the totals come again.
    if (totals.value === null || session.peek() !== null) return;
    client.session().then(
      (known) => {
        session.value = known;
      },
      () => {},
    );
  });
}
