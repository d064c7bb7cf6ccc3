/** The work as a function that never rejects: a call while it runs resolves with that run. */
export function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  return () => {
    running ??= work()
      .catch(() => undefined) // closed
      .finally(() => {
        running = null;
      });
    return running;
  };
}
