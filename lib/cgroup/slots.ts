/** Which slot holds which path; the smallest free slot is given out first. */
export class Slots {
  readonly #paths: (string | undefined)[] = [];

  add(path: string): number {
    const free = this.#paths.indexOf(undefined);
    const slot = free < 0 ? this.#paths.length : free;
    this.#paths[slot] = path;
    return slot;
  }

  /** False: no such slot is in use. */
  remove(slot: number): boolean {
    if (this.#paths[slot] === undefined) return false;
    this.#paths[slot] = undefined;
    return true;
  }

  /** Throws where no such slot is in use. */
  path(slot: number): string {
    const path = this.#paths[slot];
    if (path === undefined) throw new RangeError(`no slot ${slot}`);
    return path;
  }

  *entries(): Generator<readonly [slot: number, path: string]> {
    for (const [slot, path] of this.#paths.entries()) if (path !== undefined) yield [slot, path];
  }
}
