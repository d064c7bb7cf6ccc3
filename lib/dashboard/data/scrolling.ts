/** Whether one scrolls. What is drawn then is what comes into view; all else waits for the end of it. */
import { signal } from '@preact/signals';

/** So long after a scroll event more of them are expected. */
const settleMs = 150;

export const scrolling = signal(false);
let lastScrollMs = 0;
const waiting: (() => void)[] = [];

/** Calls `work` each time that scrolling ends. */
export const afterScrolling = (work: () => void): number => waiting.push(work);

export function noteScroll(): void {
  lastScrollMs = performance.now();
  if (scrolling.peek()) return;
  scrolling.value = true;
  const settle = () => {
    const leftMs = lastScrollMs + settleMs - performance.now();
    if (leftMs > 0) setTimeout(settle, leftMs);
    else {
      scrolling.value = false;
      for (const work of waiting) work();
    }
  };
  setTimeout(settle, settleMs);
}
