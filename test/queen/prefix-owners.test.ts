import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefixOwners } from '../../lib/queen/prefix-owners.js';
import { hashText, rendezvousWeight } from '../../lib/queen/request-cost.js';

const memberOf = (name: string) => ({ name, hash: hashText(name) });

/** Of so many members, the owner of each of so many keys. */
const owners = (of: PrefixOwners<{ name: string; hash: number }>, keys: number) =>
  Array.from({ length: keys }, (_, i) => of.of(`session-${i}`));

describe('whom a prefix belongs to', () => {
  it.each([
    ['a few', 40],
    ['many', 2000],
  ])('of %s: one that leaves moves only its own keys, and they are its own again when it is back', (_what, size) => {
    const members = Array.from({ length: size }, (_, i) => memberOf(`host-${i}/llm/0`));
    const set = new PrefixOwners<(typeof members)[number]>();
    for (const member of members) set.add(member);
    const before = owners(set, 500);
    fc.assert(
      fc.property(fc.nat(499), (drawn) => {
        const leaving = before[drawn]!;
        set.delete(leaving);
        for (const [i, owner] of owners(set, 500).entries()) {
          if (before[i] === leaving) expect(owner).not.toBe(leaving);
          else expect(owner).toBe(before[i]);
        }
        set.add(leaving);
        expect(owners(set, 500)).toEqual(before);
      }),
      { numRuns: 20 },
    );
  });

  it('does not depend on the order in which they came and went', () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 600 });
    fc.assert(
      fc.property(names, fc.infiniteStream(fc.boolean()), (all, goes) => {
        const members = all.map(memberOf);
        const set = new PrefixOwners<(typeof members)[number]>();
        const fresh = new PrefixOwners<(typeof members)[number]>();
        for (const member of members) set.add(member);
        const left = members.filter(() => !goes.next().value);
        for (const member of members) if (!left.includes(member)) set.delete(member);
        for (const member of [...left].reverse()) fresh.add(member);
        // Two of one hash are as good as each other.
        const hashes = (of: typeof set) => owners(of, 50).map((owner) => owner?.hash ?? null);
        expect(hashes(set)).toEqual(hashes(fresh));
        if (left.length === 0) expect(set.of('x')).toBeNull();
      }),
      { numRuns: 50 },
    );
  });

  it('spreads keys over many members as evenly as over a few', () => {
    const set = new PrefixOwners<{ name: string; hash: number }>();
    for (let i = 0; i < 1000; i++) set.add(memberOf(`host-${i}/llm/0`));
    const counts = new Map<string, number>();
    for (const owner of owners(set, 20_000)) counts.set(owner!.name, (counts.get(owner!.name) ?? 0) + 1);
    expect(counts.size).toBe(1000);
    expect(Math.max(...counts.values())).toBeLessThan(60);
  });

  it('a member that was not in cannot leave', () => {
    expect(() => new PrefixOwners().delete({ hash: 1 })).toThrow('was not in');
  });

  it('of up to 256 is the one with the highest weight of all; of more the highest of its group', () => {
    const members = Array.from({ length: 257 }, (_, i) => memberOf(`host-${i}/llm/0`));
    const set = new PrefixOwners<(typeof members)[number]>();
    for (const member of members.slice(0, 256)) set.add(member);
    const highest = (among: typeof members) =>
      Array.from({ length: 300 }, (_, i) => {
        const key = hashText(`session-${i}`);
        return among.reduce((a, b) => (rendezvousWeight(key, b.hash) > rendezvousWeight(key, a.hash) ? b : a));
      });
    const few = owners(set, 300);
    expect(few).toEqual(highest(members.slice(0, 256)));
    set.add(members[256]!);
    const many = owners(set, 300);
    expect(many).not.toEqual(highest(members));
    // Those that left are counted no more.
    set.delete(members[256]!);
    expect(owners(set, 300)).toEqual(few);
    for (const member of members.slice(100, 256)) set.delete(member);
    for (const member of members.slice(100, 256)) set.add(member);
    expect(owners(set, 300)).toEqual(few);
  });

  it('is the only one there, whatever its weight', () => {
    const set = new PrefixOwners<{ readonly hash: number }>();
    expect(set.of('x')).toBeNull();
    const member = { hash: hashText('x') };
    set.add(member);
    expect(rendezvousWeight(hashText('x'), member.hash)).toBe(0);
    expect(set.of('x')).toBe(member);
  });
});
