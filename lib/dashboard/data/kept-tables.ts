/** Columns and order that somebody chose for a list, kept in this browser. */
import { signal } from '@preact/signals';

export interface KeptTable {
  readonly columns?: readonly string[];
  readonly sort?: string;
  readonly dir?: string;
}
type Kept = Readonly<Record<string, KeptTable>>;

const key = 'hivepulse-tables';
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');

/** What was kept; whatever else stands there is nothing. Pure. */
export function parseKept(text: string | null): Kept {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '{}');
  } catch {
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return {};
  const kept: [string, KeptTable][] = [];
  for (const [name, value] of Object.entries(parsed as Record<string, unknown>)) {
    if (typeof value !== 'object' || value === null) continue;
    const { columns, sort, dir } = value as Record<string, unknown>;
    kept.push([
      name,
      {
        ...(isTexts(columns) ? { columns } : {}),
        ...(typeof sort === 'string' ? { sort } : {}),
        ...(dir === 'asc' || dir === 'desc' ? { dir } : {}),
      },
    ]);
  }
  return Object.fromEntries(kept);
}

/** Storage may be forbidden: then a choice lasts as long as the tab. */
function stored(): Kept {
  try {
    return parseKept(localStorage.getItem(key));
  } catch {
    return {};
  }
}

export const keptTables = signal<Kept>(stored());

export function keepTable(name: string, change: KeptTable): void {
  keptTables.value = { ...keptTables.value, [name]: { ...keptTables.value[name], ...change } };
  try {
    localStorage.setItem(key, JSON.stringify(keptTables.value));
  } catch {
    // see stored()
  }
}

/** The columns that are chosen, in their own order: those that stay, and those kept or, where nothing is, `first`. Pure. */
export function chosenColumns<C extends { readonly id: string; readonly rank: number }>(
  all: readonly C[],
  kept: readonly string[] | undefined,
  first: readonly string[],
): readonly C[] {
  const chosen = new Set(kept ?? first);
  return all.filter(({ id, rank }) => rank === 0 || chosen.has(id));
}
