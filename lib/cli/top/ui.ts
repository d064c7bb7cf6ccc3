import type { HistorySpan } from './history.js';

export const views = ['hives', 'workers', 'gpus', 'events'] as const;
export type View = (typeof views)[number];
export type TableView = Exclude<View, 'events'>;

/** The order of a table at first: the worst on top. It is no column. */
export const troubleKey = 'trouble';

export interface Sort {
  /** Of a column that is shown, or `trouble`. */
  readonly key: string;
  readonly descending: boolean;
}

/** What the person looks at. Changed by keys and mouse alone, so that a frame is a function of this and the model. */
export interface Ui {
  readonly view: View;
  readonly sort: Readonly<Record<TableView, Sort>>;
  readonly filter: string;
  /** The filter is being typed. */
  readonly typing: boolean;
  /** Identity of the selected row per view: it stays selected where sorting moves it. */
  readonly selected: Readonly<Record<View, string | null>>;
  /** A hive id or worker key whose detail is shown. */
  readonly detail: { readonly kind: 'hive' | 'worker'; readonly key: string } | null;
  /** First line of a detail that is longer than the screen. */
  readonly scroll: number;
  readonly help: boolean;
  /** First line of the help that is shown, where the screen has no room for all. */
  readonly helpScroll: number;
  /** How far back the graphs of a detail reach. */
  readonly span: HistorySpan;
  /** The terminal reports the mouse, and so cannot select text with it. */
  readonly mouse: boolean;
  /** The frame stands still. */
  readonly paused: boolean;
  readonly quit: boolean;
}

export const initialUi: Ui = {
  view: 'hives',
  sort: {
    hives: { key: troubleKey, descending: false },
    workers: { key: troubleKey, descending: false },
    gpus: { key: troubleKey, descending: false },
  },
  filter: '',
  typing: false,
  selected: { hives: null, workers: null, gpus: null, events: null },
  detail: null,
  scroll: 0,
  help: false,
  helpScroll: 0,
  span: 'hour',
  mouse: true,
  paused: false,
  quit: false,
};
