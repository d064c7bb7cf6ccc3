/** Hives of which is known what is safe; far more than a queen takes. */
const remembered = 100_000;

/** Up to which number the facts of each run of each hive lie in the shared stream. Numbers only rise within a run. */
export class Acknowledged {
  readonly #byHive = new Map<string, { readonly incarnation: string; readonly seq: number }>();
  readonly #capacity: number;

  constructor(capacity = remembered) {
    this.#capacity = capacity;
  }

  /** 0 where nothing is known of that run. */
  of(hive: string, incarnation: string): number {
    const known = this.#byHive.get(hive);
    return known?.incarnation === incarnation ? known.seq : 0;
  }

  /** A fact of that run is safe, and with it all before it. */
  add(hive: string, incarnation: string, seq: number): void {
    const before = this.of(hive, incarnation);
    this.#byHive.delete(hive);
    this.#byHive.set(hive, { incarnation, seq: Math.max(before, seq) });
    if (this.#byHive.size <= this.#capacity) return;
    for (const oldest of this.#byHive.keys()) {
      this.#byHive.delete(oldest);
      return;
    }
  }

  clear(): void {
    this.#byHive.clear();
  }
}
