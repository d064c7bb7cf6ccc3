/** Whether what is shown is no longer of now: the stream ended some time ago, and the queen says nothing. */
import { effect, signal } from '@preact/signals';
import { connection } from './fleet.js';

/** A stream that is opened again within this time leaves all as it was, ms. */
export const endedAfterMs = 10_000;

export const ended = signal(false);
/** Things that need attention, for the title of the tab. */
export const attentionCount = signal(0);

const title = 'hivepulse';

/** `(3) hivepulse`; where nothing is heard the title says so instead. Pure. */
export const titleOf = (isEnded: boolean, count: number): string =>
  isEnded ? `? no connection – ${title}` : count > 0 ? `(${count > 99 ? '99+' : count}) ${title}` : title;

export const endedText = 'The queen cannot be reached: its current state is unknown.';

export function startEnded(): void {
  effect(() => {
    const state = connection.value;
    if (state.kind === 'live') ended.value = false;
    if (state.kind !== 'lost') return;
    const leftMs = Math.max(0, endedAfterMs - (performance.now() - state.sinceMs));
    const timer = window.setTimeout(() => {
      ended.value = true;
    }, leftMs);
    return () => clearTimeout(timer);
  });
  effect(() => {
    document.title = titleOf(ended.value, attentionCount.value);
    document.documentElement.classList.toggle('ended', ended.value);
  });
}
