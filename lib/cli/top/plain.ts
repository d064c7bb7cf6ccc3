import type { FleetEvent } from '../../contract/api.js';
import { fitSpans, printTable, type Span, span, toText } from '../table.js';
import { columns, plain, printable } from '../text.js';
import { attentionLines } from './attention.js';
import { eventLine } from './lines.js';
import { connectionSpans, emptyText, fleetLines, type TopState } from './render.js';
import { type Row, viewColumns, visibleRows } from './rows.js';
import { initialUi, type TableView, type Ui, type View } from './ui.js';

/** What a pipe gets: the same rows as the screen, by name, since nobody can sort them. */
export const plainUi = (view: View, filter: string): Ui => ({
  ...initialUi,
  view,
  filter,
  sort: {
    hives: { key: 'hive', descending: false },
    workers: { key: 'worker', descending: false },
    gpus: { key: 'hive', descending: false },
  },
});

const nouns: Readonly<Record<View, string>> = { hives: 'hive', workers: 'worker', gpus: 'GPU', events: 'event' };

/** Head and tables, without keys and cursor. The rows are those that the screen shows with the same view and filter. */
export function plainFrame(state: TopState, width: number): string[] {
  const { ui, items, colours } = state;
  const draw = (spans: readonly Span[]) => {
    const line = toText(fitSpans(spans, width), colours);
    return (colours ? line : plain(line)).trimEnd();
  };
  const none = (view: View) =>
    ui.filter && items[view].length > 0
      ? `No ${nouns[view]} matches "${printable(ui.filter)}".`
      : printable(emptyText({ ...state, ui: { ...ui, view } }));
  const head = [
    draw([span('hivepulse', '1'), span(`  ${state.source}  `), ...connectionSpans(state), span(`  ${state.clock}`)]),
    ...fleetLines(items, Math.min(width, 160), state.missing).map(draw),
    ...attentionLines(state.attention, width).map(draw),
  ];
  const table = (view: TableView): string[] => {
    const rows = visibleRows({ ...ui, view }, items);
    if (rows.length === 0) return [none(view)];
    return printTable<Row>(viewColumns(view), rows, width, colours);
  };
  switch (ui.view) {
    case 'hives':
      return [...head, '', ...table('hives'), '', ...table('workers')];
    case 'workers':
    case 'gpus':
      return [...head, '', ...table(ui.view)];
    case 'events': {
      // As a log is read: the newest last.
      const events = (visibleRows(ui, items) as FleetEvent[]).reverse();
      const hiveWidth = Math.min(24, Math.max(4, ...events.map(({ hive }) => columns(printable(hive)))));
      const lines = events.map((event) => draw(eventLine(event, hiveWidth)));
      return [...head, '', ...(lines.length > 0 ? lines : [none('events')])];
    }
  }
}
