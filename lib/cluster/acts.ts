/** What somebody did at one queen and all of them must know. */
import { isUtf8 } from 'node:buffer';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { missingKinds } from '../contract/missing.js';
import { Id, OneOf } from '../contract/primitives.js';
import type { Registry } from '../queen/registry.js';

export const Act = Type.Object({
  type: Type.Literal('forget'),
  hive: Id('The hive.'),
  kind: OneOf(missingKinds),
  key: Type.String({ minLength: 1, maxLength: 512 }),
});
export type Act = Static<typeof Act>;
const act = Compile(Act);

/** A longer message is not one of a queen. */
const maxBytes = 8 * 1024;

/** What a message says; null where it is not one of ours. Pure. */
export function readAct(data: Uint8Array): Act | null {
  if (data.length > maxBytes || !isUtf8(data)) return null;
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return act.Check(value) ? value : null;
  } catch {
    return null;
  }
}

/** What another queen was told to do is done here too. */
export function apply(registry: Registry, { kind, key }: Act): void {
  registry.missing.remove(kind, key);
}
