import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatDuration } from '../present/units.js';
import { connection, drawn, hives, loaded, warming, workers } from './data/fleet.js';
import { at, go, type View, views } from './data/location.js';
import { isOver, isPinned } from './data/still.js';
import { reconnect } from './data/stream.js';
import { Logo } from './parts/logo.js';
import { nextTheme, theme } from './parts/theme.js';
import { Compare } from './views/compare.js';
import { EmptyFleet, NoWorkers } from './views/empty.js';
import { EventsView } from './views/events.js';
import { FleetBar } from './views/fleet-bar.js';
import { FleetWork } from './views/fleet-work.js';
import { GpusView } from './views/gpus.js';
import { Help } from './views/help.js';
import { HivesView } from './views/hives.js';
import { Login } from './views/login.js';
import { ModelsView } from './views/models.js';
import { closePanel, Panel } from './views/panel.js';
import { PlacementView } from './views/placement.js';
import { SignOut } from './views/sign-out.js';
import { WorkersView } from './views/workers.js';

const viewWords: Readonly<Record<View, string>> = {
  hives: 'Hives',
  gpus: 'GPUs',
  workers: 'Workers',
  models: 'Models',
  events: 'Events',
  place: 'Placement',
};

const themeWords = { auto: 'Theme: automatic', light: 'Theme: light', dark: 'Theme: dark' } as const;
const themeSymbols = { auto: '◐', light: '☀', dark: '☾' } as const;

export function App() {
  const scroller = useRef<HTMLElement>(null);
  const [help, setHelp] = useState(false);
  useKeys(setHelp);
  if (connection.value.kind === 'unauthorized') return <Login />;
  const view = views.find((name) => name === at.view.value) ?? 'hives';
  return (
    <div class={`shell view-${view}${at.show.value ? ' with-panel' : ''}`}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a
          class="brand"
          href="."
          onClick={(event) => {
            event.preventDefault();
            goTo('hives', { hive: '', model: '', liveness: '', show: '' });
          }}
        >
          <Logo size={22} />
          hivepulse
        </a>
        <nav aria-label="Views">
          {views.map((name, index) => (
            <a
              key={name}
              href={`?view=${name}`}
              aria-current={view === name ? 'page' : undefined}
              title={`${viewWords[name]} (${index + 1})`}
              onClick={(event) => {
                if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                event.preventDefault();
                goTo(name);
              }}
            >
              {viewWords[name]}
            </a>
          ))}
        </nav>
        <ConnectionMark />
        <SignOut />
        <button
          type="button"
          class="icon"
          aria-label={themeWords[theme.value]}
          title={`${themeWords[theme.value]} (t)`}
          onClick={nextTheme}
        >
          {themeSymbols[theme.value]}
        </button>
        <button type="button" class="icon keys" aria-label="Keys" title="Keys (?)" onClick={() => setHelp(true)}>
          ?
        </button>
      </header>
      <Notices />
      <div class="stage">
        <main id="main" ref={scroller} tabIndex={-1}>
          <h1 class="sr-only">{viewWords[view]}</h1>
          <FleetBar />
          {loaded.value && view === 'hives' && <FleetWork />}
          {loaded.value && view !== 'place' && view !== 'events' && <Compare />}
          <Content view={view} scroller={scroller} />
        </main>
        <Panel />
      </div>
      {help && <Help close={() => setHelp(false)} />}
    </div>
  );
}

/** To another view: a text, a state and an order are those of one list. */
const goTo = (view: View, changes: Parameters<typeof go>[0] = {}) => {
  // What the mouse was over is no longer there.
  isOver.value = false;
  go({ view, q: '', state: '', sort: '', dir: '', ...changes }, 'step');
};

interface ContentProps {
  readonly view: View;
  readonly scroller: RefObject<HTMLElement>;
}

function Content({ view, scroller }: ContentProps) {
  if (!loaded.value)
    return (
      <p class="nothing" role="status">
        Waiting for the queen…
      </p>
    );
  if (view === 'place') return <PlacementView />;
  if (view === 'events') return <EventsView scroller={scroller} />;
  const empty = isFleetEmpty();
  if (empty === 'hives') return <EmptyFleet />;
  if (view === 'gpus') return <GpusView scroller={scroller} />;
  if (view === 'hives')
    return (
      <>
        <HivesView scroller={scroller} />
        {empty === 'workers' && <NoWorkers />}
      </>
    );
  if (empty === 'workers') return <NoWorkers />;
  return view === 'models' ? <ModelsView scroller={scroller} /> : <WorkersView scroller={scroller} />;
}

function isFleetEmpty(): 'hives' | 'workers' | null {
  drawn.value;
  return hives.size === 0 ? 'hives' : workers.size === 0 ? 'workers' : null;
}

function ConnectionMark() {
  const { kind } = connection.value;
  const words = {
    live: 'Live',
    connecting: 'Connecting',
    lost: 'Reconnecting',
    unauthorized: 'Signed out',
  } as const;
  return (
    <span class={`connection ${kind}`} role="status">
      <i aria-hidden="true" />
      {words[kind]}
    </span>
  );
}

function Notices() {
  const state = connection.value;
  if (state.kind === 'lost') return <Reconnecting sinceMs={state.sinceMs} />;
  drawn.value;
  // One host that is heard is most often all there is.
  if (state.kind === 'live' && warming.value && hives.size !== 1) {
    return (
      <p class="notice warming" role="status">
        <span aria-hidden="true">◔</span> The queen has just started, and not all hives have reported yet: what is shown
        may not be the whole fleet yet.
      </p>
    );
  }
  return null;
}

function Reconnecting({ sinceMs }: { readonly sinceMs: number }) {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => setSeconds((performance.now() - sinceMs) / 1000), 1000);
    return () => clearInterval(timer);
  }, [sinceMs]);
  return (
    <p class="notice bad" role="alert">
      <span aria-hidden="true">○</span> The queen cannot be reached. Values are those of{' '}
      {seconds < 1 ? 'a moment' : formatDuration(seconds)} ago. Retrying automatically.{' '}
      <button type="button" class="link" onClick={reconnect}>
        Try now
      </button>
    </p>
  );
}

/** Escape: in a field what was typed to filter by goes first, then the field is left; elsewhere the panel, then the filter. */
function leave(target: HTMLElement, typing: boolean): void {
  if (document.querySelector('dialog[open]')) return;
  if (target.matches('.filter') && at.q.value !== '') go({ q: '' });
  else if (typing) target.blur();
  else if (at.show.value) closePanel();
  else if (at.q.value !== '') go({ q: '' });
}

/** What a key does where no field has it; what it does on the page alone comes with `onPage`. */
const actions: Readonly<
  Record<string, { readonly onPage?: true; readonly run: (setHelp: (open: boolean) => void) => void }>
> = {
  '/': { run: () => document.querySelector<HTMLInputElement>('.filter')?.focus() },
  t: { run: nextTheme },
  '?': { run: (setHelp) => setHelp(true) },
  ArrowDown: { onPage: true, run: focusRows },
  j: { onPage: true, run: focusRows },
  ' ': {
    onPage: true,
    run: () => {
      isPinned.value = !isPinned.value;
    },
  },
};

function focusRows(): void {
  document.querySelector<HTMLElement>('.data-grid, .heat-map')?.focus();
}

/** Keys that work everywhere but in fields. */
function useKeys(setHelp: (open: boolean) => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const typing = target.matches('input, textarea, select');
      if (event.key === 'Escape') {
        leave(target, typing);
        return;
      }
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const view = views[Number(event.key) - 1];
      if (view !== undefined) goTo(view);
      const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
      if (action === undefined || (action.onPage && target !== document.body)) return;
      event.preventDefault();
      action.run(setHelp);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [setHelp]);
}
