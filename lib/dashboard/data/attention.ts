/** What needs attention now, worked out once a second for the list, the title of the tab and notifications. */
import { computed, effect, signal } from '@preact/signals';
import type { WorkerView } from '../../contract/api.js';
import { attentionOf, missingAttention } from '../../present/attention.js';
import { type SortedAttention, sortedAttention } from '../../present/silence.js';
import { attentionCount } from './ended.js';
import { mirror, summed, workers } from './fleet.js';
import { missing, missingMsOf } from './missing.js';
import { newlyCritical } from './newly-critical.js';
import { silences } from './silences.js';

function stalledByHive(): ReadonlyMap<string, WorkerView[]> {
  const stalled = new Map<string, WorkerView[]>();
  for (const worker of workers.values()) {
    if (worker.state !== 'stalled') continue;
    const known = stalled.get(worker.hive);
    if (known) known.push(worker);
    else stalled.set(worker.hive, [worker]);
  }
  return stalled;
}

export const attention = computed((): SortedAttention => {
  summed.value;
  const stalled = stalledByHive();
  const sources = mirror.hivesAt(performance.now()).map((view) => ({ view, workers: stalled.get(view.id) ?? [] }));
  return sortedAttention(attentionOf(sources, missingAttention(missing.value, missingMsOf)), silences.value);
});

const key = 'hivepulse-notify';

/** Storage may be forbidden: then the choice lasts as long as the tab. */
function stored(): boolean {
  try {
    return localStorage.getItem(key) === 'on' && Notification.permission === 'granted';
  } catch {
    return false;
  }
}

export const canNotify = typeof Notification !== 'undefined' && window.isSecureContext;
export const notifies = signal(canNotify && stored());

/** Asks the browser, which asks the person, the first time. */
export async function setNotifies(on: boolean): Promise<void> {
  const allowed = on && (await Notification.requestPermission()) === 'granted';
  notifies.value = allowed;
  try {
    localStorage.setItem(key, allowed ? 'on' : 'off');
  } catch {
    // see stored()
  }
}

export function startAttention(): void {
  const known = new Set<string>();
  // What is wrong already when the page opens is on it.
  let opened = false;
  effect(() => {
    const { open } = attention.value;
    attentionCount.value = open.length;
    const fresh = newlyCritical(known, open);
    if (opened && notifies.peek())
      for (const { title, text, cause } of fresh) new Notification(title, { body: text, tag: cause });
    opened = mirror.loaded;
  });
}
