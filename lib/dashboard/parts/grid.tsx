import type { ComponentChildren, RefObject } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { unknownText } from '../../present/units.js';
import { drawn } from '../data/fleet.js';
import { type ColumnRoom, columnTemplate, fitColumns, type SortKey } from '../data/rows.js';
import { scrolling } from '../data/scrolling.js';
import { filled } from '../data/sparks.js';
import { holdsWhileOver, isPinned } from '../data/still.js';
import { phone, useMedia, useWidth } from './hooks.js';
import { Sparkline } from './sparkline.js';
import { offsetsOf, Virtual } from './virtual.js';

export interface GridColumn<Row> extends ColumnRoom {
  readonly id: string;
  readonly label: string;
  /** Begins with the highest where it is sorted by. */
  readonly number?: true;
  /** By what rows are sorted. */
  readonly key: (row: Row) => SortKey;
  /** Of a column of names, which says what is in it by itself. */
  readonly cell?: (row: Row) => ComponentChildren;
  readonly class?: string;
  readonly text?: (row: Row) => string;
  readonly title?: (row: Row) => string | undefined;
  /** Two figures, which take twice the room on a phone. */
  readonly wide?: true;
  /** There is nothing to measure. */
  readonly isAbsent?: (row: Row) => boolean;
  readonly spark?: (row: Row) => readonly (number | null)[] | null;
  /** Top of the scale that all lines of the column share. */
  readonly top?: (rows: readonly Row[]) => number;
}

export type GridItem<Row> =
  | { readonly kind: 'row'; readonly key: string; readonly row: Row }
  | { readonly kind: 'heading'; readonly name: string; readonly text: string };

interface GridProps<Row> {
  /** Begins the names of its classes and ids. */
  readonly kind: string;
  readonly label: string;
  readonly columns: readonly GridColumn<Row>[];
  readonly items: readonly GridItem<Row>[];
  /** The row as of now; undefined: it is gone. */
  readonly rowOf: (key: string) => Row | undefined;
  readonly rowClass?: (row: Row) => string;
  readonly rowTitle?: (row: Row) => string | undefined;
  readonly scroller: RefObject<HTMLElement>;
  /** Key of the row whose details are shown. */
  readonly selectedKey: string;
  readonly open: (key: string) => void;
  /** By the keys, which show the details of each row that they come to. */
  readonly walk: (key: string) => void;
  readonly sort: string;
  readonly dir: string;
  readonly sortBy: (column: GridColumn<Row>) => void;
}

const rowHeight = 44;
const headingHeight = 32;
const headHeight = 34;
/** On a phone: names, what it serves or is, then four figures a line, of which a wide one takes two. */
function phoneHeight(columns: readonly Pick<GridColumn<never>, 'cell' | 'class' | 'wide'>[]): number {
  let [lines, used] = [0, 4];
  for (const { cell, wide } of columns) {
    if (cell !== undefined) continue;
    const room = wide ? 2 : 1;
    if (used + room > 4) [lines, used] = [lines + 1, 0];
    used += room;
  }
  return (hasCell(columns, 'model') ? 56 : 36) + lines * 36;
}

const hasCell = (columns: readonly { readonly class?: string }[], name: 'model' | 'state') =>
  columns.some((column) => column.class === name);

/** What rows of a phone have no place for. */
const lacksOf = (columns: readonly { readonly class?: string }[]) =>
  (['model', 'state'] as const).map((name) => (hasCell(columns, name) ? '' : ` no-${name}`)).join('');

/** A table of any length, of which only what is in view is drawn. */
export function Grid<Row>(props: GridProps<Row>) {
  const { kind, label, columns: chosen, items, scroller, selectedKey, open } = props;
  const isPhone = useMedia(phone);
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const { columns, sparks } = fitColumns(chosen, isPhone || width === 0 ? Number.POSITIVE_INFINITY : width - 30);
  const height = isPhone ? phoneHeight(columns) : rowHeight;
  const offsets = useMemo(
    () => offsetsOf(items.map((item) => (item.kind === 'row' ? height : headingHeight))),
    [items, height],
  );
  const selected = items.findIndex((item) => item.kind === 'row' && item.key === selectedKey);
  const tops = sparks ? topsOf(columns, items) : {};
  const template = isPhone ? undefined : columnTemplate(columns, sparks);
  return (
    <div
      ref={box}
      class={`data-grid ${kind}-grid${lacksOf(columns)}`}
      role="grid"
      aria-label={label}
      aria-rowcount={items.length + 1}
      aria-colcount={columns.length}
      tabIndex={0}
      aria-activedescendant={selected >= 0 ? `${kind}-row-${selected}` : undefined}
      style={template === undefined ? {} : { '--columns': template }}
      onKeyDown={(event) => walkByKey(event, props, selected, height)}
      {...holdsWhileOver}
    >
      <Head {...props} columns={columns} sparks={sparks} />
      <Virtual
        offsets={offsets}
        scroller={scroller}
        reveal={selected}
        covered={headHeight}
        row={(index, style, slot) => {
          const item = items[index]!;
          if (item.kind === 'heading')
            return <Heading key={slot} item={item} index={index} span={columns.length} style={style} />;
          return (
            <GridRow
              key={slot}
              grid={props}
              columns={columns}
              tops={tops}
              sparks={sparks && !isPhone}
              index={index}
              rowKey={item.key}
              style={style}
              selected={index === selected}
              open={open}
            />
          );
        }}
      />
    </div>
  );
}

type Tops = Readonly<Record<string, number>>;

function topsOf<Row>(columns: readonly GridColumn<Row>[], items: readonly GridItem<Row>[]): Tops {
  const rows = items.flatMap((item) => (item.kind === 'row' ? [item.row] : []));
  return Object.fromEntries(columns.flatMap(({ id, top }) => (top === undefined ? [] : [[id, top(rows)]])));
}

function walkByKey<Row>(event: KeyboardEvent, props: GridProps<Row>, selected: number, height: number): void {
  const { items, scroller, walk } = props;
  if (event.ctrlKey || event.metaKey || event.altKey || items.length === 0) return;
  if (event.key === ' ' && event.target === event.currentTarget) {
    event.preventDefault();
    event.stopPropagation();
    isPinned.value = !isPinned.value;
    return;
  }
  const at = items[selected];
  if (event.key === 'Enter' && event.target === event.currentTarget && at?.kind === 'row') props.open(at.key);
  const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 400) / height) - 2);
  const moves: Record<string, number> = {
    ArrowDown: 1,
    j: 1,
    ArrowUp: -1,
    k: -1,
    PageDown: page,
    PageUp: -page,
    Home: -items.length,
    End: items.length,
  };
  const move = moves[event.key];
  if (move === undefined) return;
  event.preventDefault();
  const from = selected < 0 ? (move > 0 ? 0 : items.length - 1) : selected + move;
  let next = Math.min(items.length - 1, Math.max(0, from));
  // Past a heading, in the same direction where there is a row.
  const step = move > 0 && next < items.length - 1 ? 1 : next === 0 ? 1 : -1;
  while (items[next]?.kind === 'heading') next += step;
  const item = items[next];
  if (item?.kind === 'row') walk(item.key);
}

function Head<Row>({ kind, columns, sparks, sort, dir, sortBy }: GridProps<Row> & { readonly sparks: boolean }) {
  return (
    <div class={`data-head ${kind}-head`} role="row" aria-rowindex={1}>
      {columns.map((column) => {
        const active = sort === column.id;
        return (
          <div
            key={column.id}
            role="columnheader"
            class={column.number ? `number${sparks && column.spark ? ' with-spark' : ''}` : ''}
            aria-sort={active ? (dir === 'desc' ? 'descending' : 'ascending') : 'none'}
          >
            <button type="button" onClick={() => sortBy(column)}>
              {column.label}
              <span class="arrow" aria-hidden="true">
                {active ? (dir === 'desc' ? '↓' : '↑') : ''}
              </span>
            </button>
          </div>
        );
      })}
    </div>
  );
}

type Place = { readonly transform: string; readonly height: string };

interface HeadingProps {
  readonly item: { readonly name: string; readonly text: string };
  readonly index: number;
  readonly span: number;
  readonly style: Place;
}

const Heading = ({ item, index, span, style }: HeadingProps) => (
  <div class="group-heading" role="row" aria-rowindex={index + 2} style={style}>
    <div role="gridcell" aria-colspan={span}>
      <strong>{item.name}</strong> <small>{item.text}</small>
    </div>
  </div>
);

interface RowProps<Row> {
  readonly grid: GridProps<Row>;
  readonly columns: readonly GridColumn<Row>[];
  readonly tops: Tops;
  readonly sparks: boolean;
  readonly index: number;
  readonly rowKey: string;
  readonly style: Place;
  readonly selected: boolean;
  readonly open: (key: string) => void;
}

function GridRow<Row>({ grid, columns, tops, sparks, index, rowKey, style, selected, open }: RowProps<Row>) {
  drawn.value;
  filled.value;
  const row = grid.rowOf(rowKey);
  // Lines of rows that come into view while one scrolls are drawn when that ends.
  const linesOf = useRef('');
  if (!scrolling.peek()) linesOf.current = rowKey;
  if (row === undefined)
    return (
      <div class={`data-row ${grid.kind}-row stale`} role="row" style={style}>
        <div role="gridcell" class="who">
          {rowKey} <small>gone</small>
        </div>
      </div>
    );
  return (
    // The grid itself takes the keys; a row is only clicked.
    // biome-ignore lint/a11y/useKeyWithClickEvents: arrow keys are handled by the grid
    <div
      id={`${grid.kind}-row-${index}`}
      class={`data-row ${grid.kind}-row${index % 2 ? ' odd' : ''}${grid.rowClass?.(row) ?? ''}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      data-key={rowKey}
      title={grid.rowTitle?.(row)}
      style={style}
      onClick={() => open(rowKey)}
    >
      {columns.map((column) =>
        column.cell === undefined ? (
          <Figure
            key={column.id}
            column={column}
            row={row}
            top={tops[column.id] ?? 0}
            sparks={sparks}
            drawsLine={linesOf.current === rowKey}
          />
        ) : (
          <div key={column.id} role="gridcell" class={column.class} title={column.title?.(row)}>
            {column.cell(row)}
          </div>
        ),
      )}
    </div>
  );
}

interface FigureProps<Row> {
  readonly column: GridColumn<Row>;
  readonly row: Row;
  readonly top: number;
  /** There is room for lines. */
  readonly sparks: boolean;
  readonly drawsLine: boolean;
}

function Figure<Row>({ column, row, top, sparks, drawsLine }: FigureProps<Row>) {
  const text = column.text?.(row) ?? unknownText;
  const isUnknown = text === unknownText;
  const isAbsent = column.isAbsent?.(row) ?? false;
  const hasSpark = sparks && column.spark !== undefined;
  const values = hasSpark && drawsLine && !isAbsent ? column.spark!(row) : null;
  return (
    <div
      role="gridcell"
      class={`metric-cell${isAbsent ? ' none' : ''}${hasSpark ? ' with-spark' : ''}${column.wide ? ' wide' : ''}`}
      data-label={column.label}
      title={column.title?.(row)}
    >
      <span class={isUnknown ? 'value unknown' : 'value'}>
        {text}
        {isUnknown && <span class="sr-only">unknown</span>}
      </span>
      {values !== null && <Sparkline values={values} max={top} />}
    </div>
  );
}
