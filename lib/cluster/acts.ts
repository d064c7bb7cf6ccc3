/** What somebody did at one queen and all of them must know. */
import { isUtf8 } from 'node:buffer';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { missingKinds } from '../contract/missing.js';
import { Id, OneOf } from '../contract/primitives.js';
import { CordonEntry } from '../queen/cordons.js';
import type { Registry } from '../queen/registry.js';
import { SilenceEntry, targetOf } from '../queen/silences.js';

const Forget = Type.Object({
  type: Type.Literal('forget'),
  hive: Id('The hive.'),
  kind: OneOf(missingKinds),
  key: Type.String({ minLength: 1, maxLength: 512 }),
});
/** A hive was cordoned, or is no longer. */
const CordonAct = Type.Object({ type: Type.Literal('cordon'), ...CordonEntry.properties });
/** Something was acknowledged or silenced, or is no longer. */
const SilenceAct = Type.Object({
  type: Type.Literal('silence'),
  hive: Id('The hive; `all` for the whole fleet.'),
  ...SilenceEntry.properties,
});
/** A queen has just come: the others say what holds. */
const Hello = Type.Object({ type: Type.Literal('hello'), hive: Id('Stands for none.') });
export const Act = Type.Union([Forget, CordonAct, SilenceAct, Hello]);
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

/** What was done at another queen is done here too; gives what is to be said in answer. */
export function apply(registry: Registry, done: Act): readonly Act[] {
  switch (done.type) {
    case 'forget':
      registry.missing.remove(done.kind, done.key);
      return [];
    case 'cordon':
      registry.cordons.adopt({ hive: done.hive, atMs: done.atMs, cordon: done.cordon });
      return [];
    case 'silence':
      registry.silences.adopt({ key: done.key, atMs: done.atMs, silence: done.silence });
      return [];
    case 'hello':
      return decisionActs(registry);
  }
}

/** All that was decided here, for queens that were away. */
export const decisionActs = (registry: Registry): readonly Act[] => [
  ...registry.cordons.entries().map((entry) => ({ type: 'cordon' as const, ...entry })),
  ...registry.silences.entries().map(silenceAct),
];

export const silenceAct = (entry: SilenceEntry): Act => ({
  type: 'silence',
  hive: targetOf(entry.key).hive ?? 'all',
  ...entry,
});
