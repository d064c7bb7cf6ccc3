/** Resolves when `work` has settled, `ms` have passed or a signal aborts. Never rejects; leaves no timer or listener. */
export async function settledWithin(
  work: Promise<unknown>,
  ms: number,
  signals: readonly AbortSignal[] = [],
): Promise<void> {
  let stop = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    stop = () => resolve();
  });
  const timer = setTimeout(stop, ms);
  for (const signal of signals) {
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
  }
  await Promise.race([work, over]).catch(() => undefined);
  clearTimeout(timer);
  for (const signal of signals) signal.removeEventListener('abort', stop);
}
