import fc, { type IProperty, type Parameters } from '../../node_modules/fast-check/lib/fast-check.js';

import { drawn } from '../harness/draws.js';

export * from '../../node_modules/fast-check/lib/fast-check.js';

/** The parameters of a property under mutation: always the same few draws, and no search for a smaller example. */
const few = <T>(parameters: Parameters<T> = {}): Parameters<T> => ({
  seed: 20,
  ...parameters,
  numRuns: drawn(parameters.numRuns ?? 100),
  endOnFailure: true,
});

const assert = ((property: IProperty<unknown>, parameters?: Parameters<unknown>) =>
  fc.assert(property, few(parameters))) as typeof fc.assert;

export { assert };
// biome-ignore lint/style/noDefaultExport: stands in for a package that has one
export default { ...fc, assert };
