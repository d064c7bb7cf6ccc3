import { isUtf8 } from 'node:buffer';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { PlacementReply, PlacementRequest } from '../contract/api.js';
import { claimKey, hiveKey } from '../nats/subjects.js';
import type { Registry } from '../queen/registry.js';
import { type SavedReservation, SavedReservationSchema } from '../queen/reservations.js';
import { HivepulseError } from '../util/errors.js';

/** A key-value bucket with compare-and-set. Both reject where the store is out of reach. */
export interface ReservationStore {
  read(key: string): Promise<{ readonly revision: number; readonly value: Uint8Array } | null>;
  /** Writes where the key still stands at `revision` (0: is not there). The new revision, or null where it moved on. */
  write(key: string, value: string, revision: number): Promise<number | null>;
}

/** All reservations of one hive, in one key: whoever grants more must have seen them all. */
const Entry = Type.Object({
  writer: Type.String(),
  reservations: Type.Array(SavedReservationSchema),
});
const entry = Compile(Entry);

const Claim = Type.Object({ id: Type.String(), hive: Type.String(), at: Type.Number() });
const claim = Compile(Claim);

function parse(value: Uint8Array): unknown {
  if (!isUtf8(value)) return null;
  try {
    return JSON.parse(Buffer.from(value).toString('utf8'));
  } catch {
    return null;
  }
}

interface Waiter {
  /** Held here and not yet in the store; null: a release. */
  readonly id: string | null;
  readonly done: (outcome: Outcome) => void;
}
type Outcome = 'written' | 'conflict' | 'failed';

interface Slot {
  waiters: Waiter[];
  writing: boolean;
}

export interface SharedReservationsOptions {
  readonly clock?: () => number;
  readonly random?: () => number;
  /** Told of each write that got no answer, and why. */
  readonly unanswered?: (error: unknown) => void;
}

/** How long a placement tries against other queens that want the same room. */
const contendMs = 4000;

const unavailable = (why: string) =>
  new HivepulseError('BUS_UNAVAILABLE', 'reservations', `No room can be reserved now: ${why}. Try again.`);

/**
 * Reservations that several queens grant from one store. A grant is held here at once, so that this queen does not give the
 * room twice, and counts once the hive's key has been replaced at the revision on which it was planned. What is granted
 * while a write is under way goes into the next one together. Where another queen was faster, everything of this hive that
 * is not yet written is taken back and planned anew on what that queen wrote.
 */
export class SharedReservations {
  readonly #registry: Registry;
  readonly #queenId: string;
  readonly #clock: () => number;
  readonly #random: () => number;
  #store: ReservationStore | null = null;
  readonly #revisions = new Map<string, number>();
  /** Ids that were in the store, with their ends: one that the registry has no more was used up or released here. */
  readonly #known = new Map<string, number>();
  readonly #listed = new Map<string, readonly string[]>();
  readonly #slots = new Map<string, Slot>();
  /** Released here, or reported as failed: other queens hold it for as long as the store lists it. */
  readonly #released = new Set<string>();
  readonly #unanswered: (error: unknown) => void;
  conflicts = 0;

  constructor(registry: Registry, options: SharedReservationsOptions = {}) {
    this.#registry = registry;
    this.#queenId = registry.queenId;
    this.#clock = options.clock ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#unanswered = options.unanswered ?? (() => undefined);
  }

  /** This store, and not one whose connection is over. */
  isAttached(store: ReservationStore): boolean {
    return this.#store === store;
  }

  /** The store is there and `apply` was given all that it holds; null: it is out of reach. */
  attach(store: ReservationStore | null): void {
    this.#store = store;
    if (store === null) return;
    // A store that was made anew holds nothing: what was granted before is written again.
    const hives = new Set(this.#registry.savedReservations().map(({ hive }) => hive));
    for (const hive of hives) if (!this.#revisions.has(hive)) void this.#commit(hive, null);
    // What was written without an answer may have come while nothing could be written against it.
    for (const hive of this.#listed.keys()) this.#disown(hive);
  }

  /** Before a store is read from its beginning. */
  reset(): void {
    this.#revisions.clear();
    this.#listed.clear();
  }

  /** @throws HivepulseError IDEMPOTENCY_CONFLICT, BUS_UNAVAILABLE */
  async place(request: PlacementRequest): Promise<PlacementReply> {
    if (request.reserveSeconds === undefined) return this.#registry.place(request);
    if (this.#store === null) throw unavailable('the store of reservations is out of reach');
    const untilMs = this.#clock() + contendMs;
    for (let tries = 1; ; tries++) {
      const reply = this.#registry.place(request);
      const { reservation } = reply;
      if (reservation === null) return reply;
      const { id, hive } = reservation;
      const { idempotencyKey } = request;
      const granted = !this.#known.has(id);
      const outcome = granted ? await this.#commit(hive, id) : 'written';
      if (outcome === 'written') {
        // Also of one that was held before: two queens may each hold one under the same key, until the claim has decided.
        if (idempotencyKey === undefined || (await this.#claim(idempotencyKey, id, hive, granted))) return reply;
        await this.release(id);
      } else if (outcome === 'failed') throw unavailable('the store of reservations did not answer');
      if (this.#clock() > untilMs) throw unavailable('too many ask for the same room');
      await new Promise((resolve) => setTimeout(resolve, this.#random() * Math.min(20, 2 * tries)));
    }
  }

  /** @throws HivepulseError BUS_UNAVAILABLE */
  async release(id: string): Promise<boolean> {
    const held = this.#registry.savedReservations().find((each) => each.id === id);
    if (!held) return false;
    if (this.#store === null) throw unavailable('the store of reservations is out of reach');
    this.#giveUp(held);
    const untilMs = this.#clock() + contendMs;
    for (;;) {
      const outcome = await this.#commit(held.hive, null);
      if (outcome === 'written') return true;
      if (outcome === 'failed' || this.#clock() > untilMs)
        throw unavailable(
          'it is released here, but the other queens hold it until the store answers, or its time is over',
        );
    }
  }

  /** What the store says of a hive, in the order in which it was written. */
  apply(hive: string, revision: number, value: Uint8Array): void {
    if (revision <= (this.#revisions.get(hive) ?? 0)) return;
    this.#revisions.set(hive, revision);
    const parsed = parse(value);
    const valid = entry.Check(parsed) ? (parsed as Static<typeof Entry>) : { writer: '', reservations: [] };
    const listed = valid.reservations.filter((each) => each.hive === hive);
    this.#listed.set(
      hive,
      listed.map(({ id }) => id),
    );
    // What this queen wrote it holds already.
    if (valid.writer !== this.#queenId) {
      this.#takeBack(hive, this.#slots.get(hive)?.waiters.splice(0) ?? []);
      this.#adopt(hive, listed);
    }
    this.#disown(hive);
  }

  /** Forgets what is long over. `rewrites`, for one queen: hives whose entry lists what is over or used up are written anew. */
  sweep(rewrites: boolean): void {
    const wallMs = Date.now();
    for (const [id, expiresAt] of this.#known)
      if (expiresAt < wallMs - 60_000) {
        this.#known.delete(id);
        this.#released.delete(id);
      }
    if (this.#store === null || !rewrites) return;
    for (const [hive, ids] of this.#listed) {
      if (ids.length === 0) continue;
      const held = new Set(this.#registry.savedReservations(hive).map(({ id }) => id));
      if (ids.some((id) => !held.has(id))) void this.#commit(hive, null);
    }
  }

  #adopt(hive: string, listed: readonly SavedReservation[]): void {
    const held = new Set(this.#registry.savedReservations(hive).map(({ id }) => id));
    for (const reservation of listed) {
      if (held.delete(reservation.id) || this.#known.has(reservation.id)) continue;
      this.#known.set(reservation.id, reservation.expiresAt);
      this.#registry.adoptReservation(reservation);
    }
    // One that is not known yet is in flight: the outcome of its own write decides.
    for (const id of held) if (this.#known.has(id)) this.#registry.releaseReservation(id);
  }

  /** Holds it no longer, and does not take it over again from a store that still lists it. */
  #giveUp({ id, expiresAt }: SavedReservation): void {
    this.#known.set(id, expiresAt);
    this.#released.add(id);
    this.#registry.releaseReservation(id);
  }

  /** Writes a hive anew whose entry lists what was given up here: it was written, but the answer did not come. */
  #disown(hive: string): void {
    if (this.#store !== null && this.#listed.get(hive)?.some((id) => this.#released.has(id)))
      void this.#commit(hive, null);
  }

  #takeBack(hive: string, waiters: readonly Waiter[]): void {
    for (const { id, done } of waiters) {
      if (id !== null) this.#registry.releaseReservation(id);
      done('conflict');
    }
    if (waiters.length > 0) this.conflicts++;
    if (this.#slots.get(hive)?.waiters.length === 0 && !this.#slots.get(hive)?.writing) this.#slots.delete(hive);
  }

  #commit(hive: string, id: string | null): Promise<Outcome> {
    return new Promise((done) => {
      let slot = this.#slots.get(hive);
      if (!slot) {
        slot = { waiters: [], writing: false };
        this.#slots.set(hive, slot);
      }
      slot.waiters.push({ id, done });
      if (!slot.writing) void this.#write(hive, slot);
    });
  }

  async #write(hive: string, slot: Slot): Promise<void> {
    slot.writing = true;
    // One turn later: what is granted in the same turn goes into the same write.
    await Promise.resolve();
    while (slot.waiters.length > 0) {
      const waiters = slot.waiters.splice(0);
      const reservations = this.#registry.savedReservations(hive);
      const value = JSON.stringify({ writer: this.#queenId, reservations });
      let revision: number | null;
      try {
        if (this.#store === null) throw unavailable('the store is out of reach');
        revision = await this.#store.write(hiveKey(hive), value, this.#revisions.get(hive) ?? 0);
      } catch (error) {
        this.#unanswered(error);
        // It may have been written all the same: then the others hold the room until it is taken back here.
        this.#fail(hive, [...waiters, ...slot.waiters.splice(0)]);
        setTimeout(() => this.#disown(hive), 250 + this.#random() * 500).unref();
        continue;
      }
      if (revision === null) {
        const lost = [...waiters, ...slot.waiters.splice(0)];
        // Without an answer the next write finds out.
        await this.#refresh(hive).catch(() => undefined);
        this.#takeBack(hive, lost);
        continue;
      }
      this.#revisions.set(hive, Math.max(revision, this.#revisions.get(hive) ?? 0));
      for (const id of this.#listed.get(hive) ?? []) this.#released.delete(id);
      this.#listed.set(
        hive,
        reservations.map(({ id }) => id),
      );
      for (const { id, expiresAt } of reservations) this.#known.set(id, expiresAt);
      for (const { done } of waiters) done('written');
    }
    slot.writing = false;
    this.#slots.delete(hive);
  }

  #fail(hive: string, waiters: readonly Waiter[]): void {
    const held = new Map(this.#registry.savedReservations(hive).map((each) => [each.id, each]));
    for (const { id, done } of waiters) {
      const reservation = id === null ? undefined : held.get(id);
      if (reservation) this.#giveUp(reservation);
      done('failed');
    }
  }

  /** Another queen wrote first, and its word has not come yet: it is fetched. Rejects where the store does not answer. */
  async #refresh(hive: string): Promise<void> {
    if (this.#store === null) throw unavailable('the store is out of reach');
    const found = await this.#store.read(hiveKey(hive));
    if (found) this.apply(hive, found.revision, found.value);
    else this.#revisions.delete(hive);
  }

  /**
   * True where the key stands for this reservation; false where another queen has granted one for it. One that was granted
   * for this request is given back where the store does not tell.
   */
  async #claim(key: string, id: string, hive: string, granted: boolean): Promise<boolean> {
    const name = claimKey(key);
    const value = JSON.stringify({ id, hive, at: Date.now() });
    try {
      for (let tries = 0; tries < 10 && this.#store !== null; tries++) {
        const found = await this.#store.read(name);
        const other = found && (parse(found.value) as Static<typeof Claim> | null);
        if (found && claim.Check(other)) {
          if (other.id === id) return true;
          await this.#refresh(other.hive);
          if (this.#registry.savedReservations(other.hive).some((each) => each.id === other.id)) return false;
        }
        if ((await this.#store.write(name, value, found?.revision ?? 0)) !== null) return true;
      }
    } catch {
      // Reported below.
    }
    if (granted) await this.release(id).catch(() => false);
    throw unavailable('the idempotency key could not be claimed');
  }
}
