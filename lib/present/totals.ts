/** Sums and means over what is known; null where nothing is: never 0. Pure. */

const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);

export function sumOf(values: readonly (number | null)[]): number | null {
  const all = known(values);
  return all.length === 0 ? null : all.reduce((total, value) => total + value, 0);
}

export function meanOf(values: readonly (number | null)[]): number | null {
  const total = sumOf(values);
  return total === null ? null : total / known(values).length;
}
