interface Entry<T> {
  readonly atMs: number;
  readonly item: T;
}

/** Items by the time of their next look, soonest first: a binary heap. An item may be in it more than once. */
export class Deadlines<T> {
  readonly #heap: Entry<T>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  nextMs(): number | null {
    return this.#heap[0]?.atMs ?? null;
  }

  push(item: T, atMs: number): void {
    const heap = this.#heap;
    const entry = { atMs, item };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.atMs <= atMs) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** The soonest, where its time has come. */
  popDue(nowMs: number): Entry<T> | null {
    const heap = this.#heap;
    const first = heap[0];
    if (!first || first.atMs > nowMs) return null;
    const last = heap.pop()!;
    const size = heap.length;
    if (size === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]!.atMs < heap[child]!.atMs) child++;
      if (heap[child]!.atMs >= last.atMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
