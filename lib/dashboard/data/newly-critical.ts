import type { AttentionGroup } from '../../present/attention.js';

/** Critical lines with a thing that was not among `known`; `known` becomes what is critical now. Pure but for that. */
export function newlyCritical(known: Set<string>, open: readonly AttentionGroup[]): AttentionGroup[] {
  const critical = open.filter(({ severity }) => severity === 'critical');
  const fresh = critical.filter(({ items }) => items.some(({ id }) => !known.has(id)));
  known.clear();
  for (const { items } of critical) for (const { id } of items) known.add(id);
  return fresh;
}
