/** Largest chunk; a full one is halved. Splicing 256 pointers costs about what finding the place does. */
const chunkSize = 256;

/**
 * A set kept in the order of `compare`, in chunks: add, delete and seek cost a binary search and a splice of one chunk,
 * walking costs nothing more than the walk. The order of a member must not change while it is inside.
 */
export class SortedSet<T> {
  readonly #compare: (a: T, b: T) => number;
  readonly #chunks: T[][] = [];
  #size = 0;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#size;
  }

  /** False where it was in already. */
  add(item: T): boolean {
    if (this.#chunks.length === 0) {
      this.#chunks.push([item]);
      this.#size = 1;
      return true;
    }
    const at = Math.min(
      this.#chunkOf((other) => this.#compare(other, item)),
      this.#chunks.length - 1,
    );
    const chunk = this.#chunks[at]!;
    const index = lowerBound(chunk, (other) => this.#compare(other, item));
    if (index < chunk.length && this.#compare(chunk[index]!, item) === 0) return false;
    chunk.splice(index, 0, item);
    this.#size++;
    if (chunk.length > chunkSize) this.#chunks.splice(at + 1, 0, chunk.splice(chunkSize >> 1));
    return true;
  }

  /** False where it was not in. */
  delete(item: T): boolean {
    const at = this.#chunkOf((other) => this.#compare(other, item));
    const chunk = this.#chunks[at];
    if (!chunk) return false;
    const index = lowerBound(chunk, (other) => this.#compare(other, item));
    if (this.#compare(chunk[index]!, item) !== 0) return false;
    chunk.splice(index, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    return true;
  }

  has(item: T): boolean {
    const chunk = this.#chunks[this.#chunkOf((other) => this.#compare(other, item))];
    if (!chunk) return false;
    const found = chunk[lowerBound(chunk, (other) => this.#compare(other, item))]!;
    return this.#compare(found, item) === 0;
  }

  /** The member at a position, in steps over chunks: for drawing one at random. */
  at(position: number): T | undefined {
    let left = position;
    for (const chunk of this.#chunks) {
      if (left < chunk.length) return chunk[left];
      left -= chunk.length;
    }
    return undefined;
  }

  /**
   * Walks from the first member that `before` does not place before the start; all of them without it.
   * @param before negative for members before the start. Must agree with the order.
   */
  *from(before?: (item: T) => number): Generator<T, void> {
    let at = before ? this.#chunkOf(before) : 0;
    let index = before && at < this.#chunks.length ? lowerBound(this.#chunks[at]!, before) : 0;
    for (; at < this.#chunks.length; at++, index = 0) {
      const chunk = this.#chunks[at]!;
      for (; index < chunk.length; index++) yield chunk[index]!;
    }
  }

  [Symbol.iterator](): Generator<T, void> {
    return this.from();
  }

  /** The first chunk whose last member is not before the place; `length` where all are. */
  #chunkOf(before: (item: T) => number): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const chunk = this.#chunks[middle]!;
      if (before(chunk[chunk.length - 1]!) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The first index whose item is not before the place. */
export function lowerBound<T>(items: readonly T[], before: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(items[middle]!) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
