/**
 * What differs between two values of JSON, as what makes the second of the first. Values are those that are now, so that a change
 * does no harm to a value that has it already. Pure.
 *
 * A change is a number, a text, a truth or null that takes the place of what was; a list of one, which holds a list or an object
 * that does; or an object: changes inside of what is there, by name, or by place in a list.
 */
export type Change = string | number | boolean | null | readonly [unknown] | { readonly [key: string]: Change };

type Members = Readonly<Record<string, unknown>>;
const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isObjects = (value: unknown): value is readonly Members[] => Array.isArray(value) && value.every(isMembers);
/** A label may be called `__proto__`. */
const memberOf = (value: Members, key: string): unknown => (Object.hasOwn(value, key) ? value[key] : undefined);

/** Names of members that are left out: `true`, or those inside of a member, or of each item of a list. */
export type LeftOut = { readonly [key: string]: true | LeftOut };

/** undefined: nothing differs; null: a member is gone, which only the whole can say. */
export function changesOf(
  before: object,
  after: object,
  except: LeftOut = {},
): { readonly [key: string]: Change } | undefined | null {
  const [old, now] = [before as Members, after as Members];
  for (const key of Object.keys(old)) if (memberOf(now, key) === undefined && old[key] !== undefined) return null;
  const changed: [string, Change][] = [];
  for (const key of Object.keys(now)) {
    const left = memberOf(except, key) as LeftOut[string] | undefined;
    if (left === true || now[key] === undefined) continue;
    const change = changeOf(memberOf(old, key), now[key], left);
    if (change !== undefined) changed.push([key, change]);
  }
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

function changeOf(before: unknown, after: unknown, except?: LeftOut): Change | undefined {
  if (before === after) return undefined;
  if (isMembers(after)) {
    const inside = isMembers(before) ? changesOf(before, after, except) : null;
    return inside === null ? [after] : inside;
  }
  if (!Array.isArray(after)) return after as Change;
  if (!Array.isArray(before)) return [after];
  if (before.length !== after.length || !isObjects(before) || !isObjects(after))
    return JSON.stringify(before) === JSON.stringify(after) ? undefined : [after];
  const changed = after.flatMap((item, index): [string, Change][] => {
    const change = changeOf(before[index], item, except);
    return change === undefined ? [] : [[String(index), change]];
  });
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

/** The value with a change of another of its kind; neither is altered, and what did not change is shared. */
export const withChange = <T>(value: T, change: Change): T => applied(value, change) as T;

function applied(value: unknown, change: Change): unknown {
  if (Array.isArray(change)) return change[0];
  if (!isMembers(change)) return change;
  if (Array.isArray(value))
    return value.map((item, index) => {
      const each = memberOf(change, String(index)) as Change | undefined;
      return each === undefined ? item : applied(item, each);
    });
  const members = isMembers(value) ? value : {};
  const inside = Object.entries(change as { readonly [key: string]: Change });
  return {
    ...members,
    ...Object.fromEntries(inside.map(([key, each]) => [key, applied(memberOf(members, key), each)])),
  };
}

/** The value with what is left out elsewhere taken from another, newer or older, of the same thing. */
export const withLeftOut = <T>(value: T, other: unknown, left: LeftOut): T => taken(value, other, left) as T;

function taken(value: unknown, other: unknown, left: LeftOut): unknown {
  if (Array.isArray(value))
    return Array.isArray(other) && other.length === value.length
      ? value.map((item, index) => taken(item, other[index], left))
      : value;
  if (!isMembers(value) || !isMembers(other)) return value;
  const members = Object.entries(left).flatMap(([key, inside]): [string, unknown][] => {
    const its = memberOf(other, key);
    if (its === undefined || !Object.hasOwn(value, key)) return [];
    return [[key, inside === true ? its : taken(value[key], its, inside)]];
  });
  return { ...value, ...Object.fromEntries(members) };
}
