/** Text filters and the order of names, the same on the page and in the terminal. Pure. */

/** Words of a filter. Each must occur somewhere in a row; capitals do not matter. */
export const wordsOf = (filter: string): string[] => filter.toLowerCase().split(/\s+/).filter(Boolean);

export const hasWords = (words: readonly string[], fields: readonly unknown[]): boolean => {
  if (words.length === 0) return true;
  const text = fields
    .filter((field) => field !== null && field !== undefined)
    .join('\n')
    .toLowerCase();
  return words.every((word) => text.includes(word));
};

/** `zone=a`, as a label is written and searched. */
export const labelTexts = (labels: Readonly<Record<string, string>>): string[] =>
  Object.entries(labels).map(([key, value]) => `${key}=${value}`);

/** `gpu-2` before `gpu-10`. */
export const compareNames = new Intl.Collator('en', { numeric: true }).compare;
