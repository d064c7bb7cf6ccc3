/** Highest acknowledged event seq of the newest run of each hive, for a bounded number of hives: the longest unset go first. */
export class AckedSeqs {
  readonly #byHive = new Map<string, { readonly incarnation: string; readonly seq: number }>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** 0 where nothing is known of that run. */
  get(hive: string, incarnation: string): number {
    const known = this.#byHive.get(hive);
    return known?.incarnation === incarnation ? known.seq : 0;
  }

  /** All events of that run up to `seq` are stored. Within a run the seq only rises. */
  set(hive: string, incarnation: string, seq: number): void {
    const newest = Math.max(this.get(hive, incarnation), seq);
    this.#byHive.delete(hive);
    this.#byHive.set(hive, { incarnation, seq: newest });
    if (this.#byHive.size <= this.#capacity) return;
    for (const oldest of this.#byHive.keys()) {
      this.#byHive.delete(oldest);
      return;
    }
  }

  delete(hive: string): void {
    this.#byHive.delete(hive);
  }

  clear(): void {
    this.#byHive.clear();
  }
}
