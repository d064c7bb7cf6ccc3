/** Undoing what a test has made when its process is interrupted; in the order of making, undone from the last. */
const undoings = new Set<() => unknown>();

/** Has `undo` called should this process be interrupted. Returns what takes it back. `undo` does what it can at once. */
export function onInterruption(undo: () => unknown): () => void {
  undoings.add(undo);
  return () => undoings.delete(undo);
}

function undoAll(): void {
  const all = [...undoings].reverse();
  undoings.clear();
  for (const undo of all) {
    try {
      // One that goes on later than now is not waited for: the next run sweeps what it leaves.
      Promise.resolve(undo()).catch(() => undefined);
    } catch {
      // the others have their turn
    }
  }
}

process.on('exit', undoAll);

const watched = new Set<NodeJS.Signals>();

/**
 * From now on a process that gets one of these signals undoes first and then ends by it, as it would have. A process that
 * ends on its own undoes in any case.
 */
export function undoWhenInterrupted(signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']): void {
  for (const signal of signals) {
    if (watched.has(signal)) continue;
    watched.add(signal);
    const handler = () => {
      undoAll();
      process.off(signal, handler);
      // Who else listens has been told and decides.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }
}
