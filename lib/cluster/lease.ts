/** One key that is written by compare-and-set. */
export interface LeaseStore {
  /** Null: nobody has ever written it. */
  read(): Promise<{ readonly revision: number; readonly holder: string | null } | null>;
  /** Writes where the key still stands at `revision` (0: is not there). The new revision, or null where it moved on. */
  write(holder: string | null, revision: number): Promise<number | null>;
}

export interface LeaseOptions {
  readonly queenId: string;
  readonly clock: () => number;
  /** A holder that has not renewed for so long holds it no more, ms. */
  readonly leaseMs: number;
  /** May this queen take it over from another now? */
  readonly settled: () => boolean;
}

/**
 * A lease that at most one queen holds, whatever the servers do with TTLs: each judges by its own monotonic clock. The holder
 * counts from the moment before it asked for the renewal, the others from the moment after they saw it, so they always
 * wait longer. No wall clock takes part.
 */
export class Lease {
  readonly #options: LeaseOptions;
  #revision = 0;
  #heldUntilMs = Number.NEGATIVE_INFINITY;
  #seen: { readonly revision: number; readonly atMs: number } | null = null;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get held(): boolean {
    return this.#options.clock() < this.#heldUntilMs;
  }

  /** When its holder was last seen to renew it, by the clock given; null: not yet. */
  get renewedMs(): number | null {
    return this.#seen?.atMs ?? null;
  }

  /** Renews it, or takes it where it is free or was let lapse. True where this queen has just become its holder. */
  async reconcile(store: LeaseStore): Promise<boolean> {
    const { clock } = this.#options;
    if (this.#revision > 0 && this.held) {
      if (await this.#write(store, this.#revision)) return false;
      // Somebody else has it: they could only because it had lapsed by their clock.
      this.drop();
    }
    const entry = await store.read();
    if (entry === null) return this.#write(store, 0);
    // A renewal was written whose answer was lost: it is still ours.
    if (entry.holder === this.#options.queenId) return this.#write(store, entry.revision);
    if (entry.revision !== this.#seen?.revision) {
      this.#seen = { revision: entry.revision, atMs: clock() };
      if (entry.holder !== null) return false;
    }
    const lapsed = entry.holder === null || clock() - this.#seen.atMs > this.#options.leaseMs * 1.25;
    if (!lapsed || !this.#options.settled()) return false;
    return this.#write(store, entry.revision);
  }

  /** Lets go of it, so that another queen need not wait. */
  async release(store: LeaseStore): Promise<void> {
    if (!this.held) return;
    const revision = this.#revision;
    this.drop();
    await store.write(null, revision);
  }

  /** Without a word to the store: it was made anew, or is out of reach. */
  drop(): void {
    this.#heldUntilMs = Number.NEGATIVE_INFINITY;
    this.#revision = 0;
  }

  /** The store was made anew: what was seen of the former one means nothing. */
  forget(): void {
    this.drop();
    this.#seen = null;
  }

  async #write(store: LeaseStore, revision: number): Promise<boolean> {
    const { clock, queenId, leaseMs } = this.#options;
    const beganMs = clock();
    const written = await store.write(queenId, revision);
    if (written === null) return false;
    this.#revision = written;
    this.#heldUntilMs = beganMs + leaseMs;
    return true;
  }
}
