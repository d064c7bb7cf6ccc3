/** The least time that some runs take, ms: what else this machine does must not count. One of less than `enoughMs` is the last. */
export function leastMs(run: () => unknown, enoughMs = 0): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4 && least >= enoughMs; i += 1) {
    const began = performance.now();
    run();
    least = Math.min(least, performance.now() - began);
  }
  return least;
}
