import { describe, expect, it } from 'vitest';
import { PrefixOwners } from '../../lib/queen/prefix-owners.js';
import { hashText, rendezvousWeight } from '../../lib/queen/request-cost.js';

interface Member {
  readonly hash: number;
}
const memberOf = (i: number): Member => ({ hash: hashText(`host-${i}/llm/0`) });
const keys = Array.from({ length: 60 }, (_, i) => `session-${i}`);

const highest = <T>(of: readonly T[], weightOf: (item: T) => number): T =>
  of.reduce((a, b) => (weightOf(b) > weightOf(a) ? b : a));
const groupOf = ({ hash }: Member) => hash & 15;

/** By what a set promises: of few the member with the highest weight; of many that of the group with the highest weight that has any. */
function ownerOf(members: readonly Member[], key: string): Member {
  const hash = hashText(key);
  const own = (among: readonly Member[]) => highest(among, (member) => rendezvousWeight(hash, member.hash));
  if (members.length <= 256) return own(members);
  const groups = [...new Set(members.map(groupOf))].sort((a, b) => a - b);
  const group = highest(groups, (each) => rendezvousWeight(hash, hashText(`group ${each}`)));
  return own(members.filter((member) => groupOf(member) === group));
}

function check(set: PrefixOwners<Member>, members: readonly Member[]): void {
  expect(keys.map((key) => set.of(key))).toEqual(keys.map((key) => ownerOf(members, key)));
}

describe('the owner of a key, by the weights of members and groups', () => {
  it.each([1, 4, 5, 40, 256, 257, 300])('of %d members, also after some have left and come again', (count) => {
    const members = Array.from({ length: count }, (_, i) => memberOf(i));
    const set = new PrefixOwners<Member>();
    for (const member of members) set.add(member);
    check(set, members);
    const left = members.filter((_, i) => i % 3 === 0);
    const stay = members.filter((_, i) => i % 3 !== 0);
    for (const member of left) set.delete(member);
    if (stay.length > 0) check(set, stay);
    else expect(set.of('x')).toBeNull();
    for (const member of left) expect(() => set.delete(member)).toThrow('was not in');
    for (const member of left.toReversed()) set.add(member);
    check(set, members);
  });

  it.each([[0], [15], [3, 7]])('of many that are all of the groups %d and %d', (...groups: number[]) => {
    const members = Array.from({ length: 260 }, (_, i) => ({
      hash: ((hashText(`m${i}`) & ~15) | groups[i % groups.length]!) as number,
    }));
    const set = new PrefixOwners<Member>();
    for (const member of members) set.add(member);
    check(set, members);
  });
});
