import { isSeqJump, maxEventSeqJump } from '../queen/incarnations.js';

/** Seqs of each hive that are remembered; a copy comes within seconds of the first. */
const perHive = 256;

interface Run {
  readonly incarnation: string;
  readonly seqs: Set<number>;
  /** The highest of them, and when it was stored. */
  highest: number;
  atMs: number;
}

/** `copy`: it was there already. `jump`: the run cannot have counted so far. */
export type SeqVerdict = 'first' | 'copy' | 'jump';

/** The newest seqs of the newest run of each hive, for a bounded number of hives: the longest unset go first. */
export class RecentSeqs {
  readonly #byHive = new Map<string, Run>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** `atMs`: when it was stored, by the clock of the store, so that every reader of it judges alike. */
  add(hive: string, incarnation: string, seq: number, atMs: number): SeqVerdict {
    const known = this.#byHive.get(hive);
    const run = known?.incarnation === incarnation ? known : { incarnation, seqs: new Set<number>(), highest: 0, atMs };
    this.#byHive.delete(hive);
    this.#byHive.set(hive, run);
    if (this.#byHive.size > this.#capacity) dropFirst(this.#byHive);
    if (run.seqs.has(seq)) return 'copy';
    if (isSeqJump(run.highest, seq, maxEventSeqJump, atMs - run.atMs)) return 'jump';
    run.seqs.add(seq);
    run.highest = Math.max(run.highest, seq);
    run.atMs = atMs;
    if (run.seqs.size > perHive) dropFirst(run.seqs);
    return 'first';
  }

  clear(): void {
    this.#byHive.clear();
  }
}

function dropFirst<K>(of: { keys(): Iterator<K>; delete(key: K): boolean }): void {
  const first = of.keys().next();
  if (!first.done) of.delete(first.value);
}
