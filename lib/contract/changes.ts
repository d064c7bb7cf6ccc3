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

/** undefined: nothing differs; null: a member is gone, which only the whole can say. */
export function changesOf(
  before: object,
  after: object,
  except: ReadonlySet<string> = new Set(),
): { readonly [key: string]: Change } | undefined | null {
  const [old, now] = [before as Members, after as Members];
  for (const key of Object.keys(old)) if (memberOf(now, key) === undefined && old[key] !== undefined) return null;
  const changed: [string, Change][] = [];
  for (const key of Object.keys(now)) {
    if (except.has(key) || now[key] === undefined) continue;
    const change = changeOf(memberOf(old, key), now[key]);
    if (change !== undefined) changed.push([key, change]);
  }
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

function changeOf(before: unknown, after: unknown): Change | undefined {
  if (before === after) return undefined;
  if (isMembers(after)) {
    const inside = isMembers(before) ? changesOf(before, after) : null;
    return inside === null ? [after] : inside;
  }
  if (!Array.isArray(after)) return after as Change;
  if (!Array.isArray(before)) return [after];
  if (before.length !== after.length || !isObjects(before) || !isObjects(after))
    return JSON.stringify(before) === JSON.stringify(after) ? undefined : [after];
  const changed = after.flatMap((item, index): [string, Change][] => {
    const change = changeOf(before[index], item);
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
