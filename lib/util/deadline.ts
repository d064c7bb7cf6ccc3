import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when `work` has settled, `ms` have passed or a signal aborts. Never rejects; leaves no timer or listener. */
export async function settledWithin(
  work: Promise<unknown>,
  ms: number,
  signals: readonly AbortSignal[] = [],
): Promise<void> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  for (const signal of signals) {
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
  }
  await Promise.race([work, delay(ms, undefined, { signal: over.signal })]).catch(() => undefined);
  stop();
  for (const signal of signals) signal.removeEventListener('abort', stop);
}
