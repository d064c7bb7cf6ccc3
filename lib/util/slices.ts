/** Longest that one piece of long work keeps all others waiting, ms. */
const sliceMs = 5;

/** Long work in slices: what waits has its turn between two of them. `if (slices.isOver) await slices.rest();` */
export class Slices {
  #beganMs = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#beganMs >= sliceMs;
  }

  async rest(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#beganMs = performance.now();
  }
}

/** Runs all steps, in slices. */
export async function inSlices<T>(steps: Generator<void, T>): Promise<T> {
  const slices = new Slices();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (slices.isOver) await slices.rest();
  }
}
