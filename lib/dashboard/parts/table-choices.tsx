import { useRef } from 'preact/hooks';
import { chosenColumns, keepTable, keptTables } from '../data/kept-tables.js';
import { at, go } from '../data/location.js';
import { type HeldRows, holdRows } from '../data/rows.js';
import { holdsStill } from '../data/still.js';
import type { GridColumn } from './grid.js';

/** The order of a list: as the address says, else as it was chosen last, else `first`. */
export function orderOf(name: string, first: string): { readonly sort: string; readonly dir: string } {
  const kept = keptTables.value[name];
  const sort = at.sort.value || kept?.sort || first;
  return { sort, dir: at.dir.value || (at.sort.value === '' ? kept?.dir : undefined) || 'asc' };
}

/** Sorts by a column, or by the same one the other way round, and keeps that. */
export function sortTable(
  name: string,
  now: { readonly sort: string; readonly dir: string },
  column: { readonly id: string; readonly number?: true },
): void {
  const first = column.number ? 'desc' : 'asc';
  const dir = now.sort !== column.id ? first : now.dir === 'asc' ? 'desc' : 'asc';
  keepTable(name, { sort: column.id, dir });
  go({ sort: column.id, dir });
}

/** Back to the order before anybody chose. */
export function unsortTable(name: string): void {
  keepTable(name, { sort: '', dir: '' });
  go({ sort: '', dir: '' });
}

interface ColumnChoiceProps<Row> {
  /** Of the list, under which the choice is kept. */
  readonly name: string;
  readonly all: readonly GridColumn<Row>[];
  readonly chosen: readonly GridColumn<Row>[];
  /** Columns before anybody chose. */
  readonly first: readonly string[];
  /** After a choice. */
  readonly onChoice?: () => void;
}

/** Which columns a list has. */
export function ColumnChoice<Row>({ name, all, chosen, first, onChoice }: ColumnChoiceProps<Row>) {
  const shown = new Set(chosen.map(({ id }) => id));
  const toggle = (id: string) => {
    const columns = chosen.map((column) => column.id);
    keepTable(name, { columns: shown.has(id) ? columns.filter((each) => each !== id) : [...columns, id] });
    onChoice?.();
  };
  return (
    <details
      class="column-choice"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !event.currentTarget.open) return;
        event.stopPropagation();
        event.currentTarget.open = false;
        event.currentTarget.querySelector('summary')?.focus();
      }}
    >
      <summary>Columns</summary>
      <fieldset>
        <legend class="sr-only">Columns shown</legend>
        {all
          .filter(({ rank }) => rank > 0)
          .map(({ id, label }) => (
            <label key={id}>
              <input type="checkbox" checked={shown.has(id)} onChange={() => toggle(id)} /> {label}
            </label>
          ))}
        <button
          type="button"
          class="link"
          onClick={() => {
            keepTable(name, { columns: first });
            onChoice?.();
          }}
        >
          Default columns
        </button>
      </fieldset>
    </details>
  );
}

export const useColumns = <Row,>(name: string, all: readonly GridColumn<Row>[], first: readonly string[]) =>
  chosenColumns(all, keptTables.value[name]?.columns, first);

/** Rows as they stand while they are held still. `question`: what was asked for. */
export function useStill<T>(question: string, rows: T): T {
  const held = useRef<HeldRows<T> | null>(null);
  held.current = holdRows(held.current, { question, rows }, holdsStill());
  return held.current.rows;
}
