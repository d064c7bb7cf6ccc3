/** Bytes that may be held at once: in all, and by each of the keys that a holder has (its token, its address). */
export class ByteBudget {
  readonly #total: number;
  readonly #perKey: number;
  readonly #held = new Map<string, number>();
  #heldInAll = 0;

  constructor({ total, perKey }: { readonly total: number; readonly perKey: number }) {
    this.#total = total;
    this.#perKey = perKey;
  }

  get held(): number {
    return this.#heldInAll;
  }

  /** Takes room under each key, all or nothing; null: there is none. What is given back is safe to give back twice. */
  take(keys: readonly string[], bytes: number): (() => void) | null {
    if (this.#heldInAll + bytes > this.#total) return null;
    for (const key of keys) if ((this.#held.get(key) ?? 0) + bytes > this.#perKey) return null;
    this.#add(keys, bytes);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.#add(keys, -bytes);
    };
  }

  #add(keys: readonly string[], bytes: number): void {
    this.#heldInAll += bytes;
    for (const key of keys) {
      const now = (this.#held.get(key) ?? 0) + bytes;
      if (now === 0) this.#held.delete(key);
      else this.#held.set(key, now);
    }
  }
}
