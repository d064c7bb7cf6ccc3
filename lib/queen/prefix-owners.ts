import { hashText, rendezvousWeight } from './request-cost.js';

/** Whoever a key can belong to: by its hash. */
export interface Owner {
  readonly hash: number;
}

/** Small sets are one group: their keys spread over the members evenly. */
const onlyGroupUpTo = 256;
const groups = 16;

interface Group<T> {
  readonly members: T[];
  hashes: Int32Array;
}

/**
 * Which member of a set a key belongs to, by rendezvous hashing: one that leaves moves only its own keys. A large set is cut into
 * groups by the hashes of its members; a key belongs to a group, and to a member of that, so that finding it takes a look at a
 * sixteenth of them. The set is kept up to date member by member.
 */
export class PrefixOwners<T extends Owner> {
  readonly #groups: readonly Group<T>[] = Array.from({ length: groups }, () => ({
    members: [],
    hashes: new Int32Array(4),
  }));
  readonly #groupHashes = Int32Array.from({ length: groups }, (_, group) => hashText(`group ${group}`));
  #size = 0;

  add(member: T): void {
    const group = this.#groupOf(member);
    const { members } = group;
    if (members.length === group.hashes.length) {
      const larger = new Int32Array(2 * members.length);
      larger.set(group.hashes);
      group.hashes = larger;
    }
    group.hashes[members.length] = member.hash;
    members.push(member);
    this.#size++;
  }

  delete(member: T): void {
    const { members, hashes } = this.#groupOf(member);
    const at = members.indexOf(member);
    if (at < 0) throw new Error('a member leaves that was not in');
    const last = members.pop()!;
    if (at < members.length) {
      members[at] = last;
      hashes[at] = last.hash;
    }
    this.#size--;
  }

  of(key: string): T | null {
    const hash = hashText(key);
    const among = this.#size <= onlyGroupUpTo ? this.#groups : [this.#groupWith(hash)];
    let owner: T | null = null;
    let most = -1;
    for (const { members, hashes } of among) {
      const count = members.length;
      for (let i = 0; i < count; i++) {
        const weight = rendezvousWeight(hash, hashes[i]!);
        if (weight > most) {
          most = weight;
          owner = members[i]!;
        }
      }
    }
    return owner;
  }

  /** Of those that have members. */
  #groupWith(hash: number): Group<T> {
    let found = this.#groups[0]!;
    let most = -1;
    for (let group = 0; group < groups; group++) {
      const weight = rendezvousWeight(hash, this.#groupHashes[group]!);
      if (weight <= most || this.#groups[group]!.members.length === 0) continue;
      most = weight;
      found = this.#groups[group]!;
    }
    return found;
  }

  #groupOf({ hash }: T): Group<T> {
    return this.#groups[hash & (groups - 1)]!;
  }
}
