import type { Argument, Option } from 'commander';

/** What a queen is asked for where a name is completed. */
export const nameKinds = ['hives', 'workers', 'models', 'labels', 'causes', 'missing'] as const;
export type NameKind = (typeof nameKinds)[number];

const completions = new WeakMap<Option | Argument, NameKind | readonly string[]>();

/** Has the shell complete its value: by names that the queen knows, or by these words (of a list with commas). */
export function completedBy<T extends Option | Argument>(of: T, names: NameKind | readonly string[]): T {
  completions.set(of, names);
  return of;
}

/** The words that it may have; a kind of names; null: anything. */
export const completionOf = (of: Option | Argument): NameKind | readonly string[] | null =>
  completions.get(of) ?? of.argChoices ?? null;
