/** Seqs of each hive that are remembered; a copy comes within seconds of the first. */
const perHive = 256;

/** The newest seqs of the newest run of each hive, for a bounded number of hives: the longest unset go first. */
export class RecentSeqs {
  readonly #byHive = new Map<string, { readonly incarnation: string; readonly seqs: Set<number> }>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** False: it was there already. */
  add(hive: string, incarnation: string, seq: number): boolean {
    const known = this.#byHive.get(hive);
    const run = known?.incarnation === incarnation ? known : { incarnation, seqs: new Set<number>() };
    this.#byHive.delete(hive);
    this.#byHive.set(hive, run);
    if (run.seqs.has(seq)) return false;
    run.seqs.add(seq);
    if (run.seqs.size > perHive) dropFirst(run.seqs);
    if (this.#byHive.size > this.#capacity) dropFirst(this.#byHive);
    return true;
  }

  clear(): void {
    this.#byHive.clear();
  }
}

function dropFirst<K>(of: { keys(): Iterator<K>; delete(key: K): boolean }): void {
  const first = of.keys().next();
  if (!first.done) of.delete(first.value);
}
