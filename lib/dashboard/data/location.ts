/** What is looked at, kept in the address: a link shows the same to whoever opens it. */
import { type Signal, signal } from '@preact/signals';

export const views = ['hives', 'gpus', 'workers', 'models', 'events', 'place'] as const;
export type View = (typeof views)[number];

const params = {
  view: 'hives',
  /** Text filter. */
  q: '',
  state: '',
  model: '',
  hive: '',
  liveness: '',
  /** Of the list of workers: what they use, or `load`, what their engines have to do. */
  columns: '',
  /** Empty: as it was chosen last in this list. */
  sort: '',
  dir: '',
  /** Hosts as cards (empty), `table` or `heat`; what colours a heat map; `model`, `gpu` or `label:zone`. */
  as: '',
  color: '',
  group: '',
  kind: '',
  /** How far back charts go, seconds. */
  window: '3600',
  /** Up to six of what the panel shows, in one chart, and the figure that is drawn; `fleet=open`: charts of the whole fleet. */
  compare: '',
  figure: '',
  fleet: '',
  /** What the panel shows: `worker:<key>`, `hive:<id>` or `gpu:<hive>/<uuid>`. */
  show: '',
  /** Placement: GiB on each GPU, number of GPUs, labels, host memory in GiB, strategy. */
  vram: '20',
  gpus: '1',
  labels: '',
  memory: '',
  strategy: 'binPack',
} as const;
export type Param = keyof typeof params;

const read = (): Record<Param, string> => {
  const found = new URLSearchParams(window.location.search);
  return Object.fromEntries(
    Object.entries(params).map(([name, otherwise]) => [name, found.get(name) ?? otherwise]),
  ) as Record<Param, string>;
};

const initial = read();
export const at = Object.fromEntries(
  (Object.keys(params) as Param[]).map((name) => [name, signal(initial[name])]),
) as Record<Param, Signal<string>>;

/** Sets some of them. `step`: a step that the back button undoes; typing in a filter is none. */
export function go(changes: Partial<Record<Param, string>>, step: 'step' | 'replace' = 'replace'): void {
  for (const [name, value] of Object.entries(changes)) at[name as Param].value = value;
  const search = new URLSearchParams();
  for (const name of Object.keys(params) as Param[]) {
    if (at[name].value !== params[name]) search.set(name, at[name].value);
  }
  const query = search.toString().replaceAll('%2F', '/').replaceAll('%3A', ':');
  const target = query === '' ? window.location.pathname : `?${query}`;
  if (step === 'step') window.history.pushState(null, '', target);
  else window.history.replaceState(null, '', target);
}

window.addEventListener('popstate', () => {
  for (const [name, value] of Object.entries(read())) at[name as Param].value = value;
});

export type Shown =
  | { readonly kind: 'worker'; readonly key: string }
  | { readonly kind: 'hive'; readonly id: string }
  | { readonly kind: 'gpu'; readonly hive: string; readonly uuid: string };

export function parseShown(text: string): Shown | null {
  const [kind, rest] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)];
  if (rest === '') return null;
  if (kind === 'worker') return { kind, key: rest };
  if (kind === 'hive') return { kind, id: rest };
  const slash = rest.indexOf('/');
  return kind === 'gpu' && slash > 0 ? { kind, hive: rest.slice(0, slash), uuid: rest.slice(slash + 1) } : null;
}

/** Rises each time that details are opened to be looked at: walking through rows only shows them beside. */
export const opened = signal(0);
export function show(text: string): void {
  go({ show: text }, 'step');
  opened.value++;
}
