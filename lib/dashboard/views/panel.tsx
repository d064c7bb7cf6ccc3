import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { MissingKind } from '../../contract/missing.js';
import { connection, drawn, hives, loaded, workerOf } from '../data/fleet.js';
import { at, go, opened, parseShown } from '../data/location.js';
import { missing } from '../data/missing.js';
import { MissingPanel } from './missing.js';
import { GpuPanel } from './panel-gpu.js';
import { HivePanel } from './panel-hive.js';
import { WorkerPanel } from './panel-worker.js';

/** Repaints in which the lists beside closed details may be laid out anew. */
const layoutRepaints = 10;

/** Cards are made anew where their columns change, so what had the focus is looked for by what it opens. */
function focusOpener(opener: HTMLElement | null, opens: string): void {
  const view = at.view.value;
  let repaints = layoutRepaints;
  const look = () => {
    const { activeElement, body } = document;
    // Elsewhere somebody has put it meanwhile, or looks at something else.
    if (at.show.value !== '' || at.view.value !== view) return;
    if (activeElement === body) {
      const again = document.querySelector<HTMLElement>(`[data-opens="${CSS.escape(opens)}"]`);
      const target = opener?.isConnected && opener !== body ? opener : again;
      target?.focus({ preventScroll: true });
    }
    if (--repaints > 0) requestAnimationFrame(look);
  };
  look();
}

/** Moves the focus into details that are opened, and back to what opened them once they are closed. */
function useFocusOf(panel: RefObject<HTMLElement>, isOpen: boolean): void {
  const before = useRef<{ readonly opener: HTMLElement | null; readonly opens: string } | null>(null);
  const times = opened.value;
  useLayoutEffect(() => {
    const { activeElement } = document;
    if (times === 0 || panel.current === null || panel.current.contains(activeElement)) return;
    // From one thing to another within the details: what opened them stays where to go back to.
    before.current ??= { opener: activeElement instanceof HTMLElement ? activeElement : null, opens: at.show.value };
    panel.current.focus({ preventScroll: true });
  }, [times]);
  useLayoutEffect(() => {
    if (isOpen || before.current === null) return;
    focusOpener(before.current.opener, before.current.opens);
    before.current = null;
  }, [isOpen]);
}

/** What is looked at more closely, beside the lists. Escape closes it. */
export function Panel() {
  const shown = parseShown(at.show.value);
  const panel = useRef<HTMLElement>(null);
  const isOpen = shown !== null;
  useFocusOf(panel, isOpen);
  useEffect(() => {
    if (panel.current) panel.current.scrollTop = 0;
  }, [at.show.value]);
  if (!isOpen) return null;
  return (
    <aside ref={panel} class="panel" aria-label="Details" tabIndex={-1}>
      <button type="button" class="close" aria-label="Close details" onClick={closePanel}>
        ✕
      </button>
      <Shown />
    </aside>
  );
}

export const closePanel = () => go({ show: '' }, 'step');

function Shown() {
  drawn.value;
  const shown = parseShown(at.show.value);
  if (shown === null) return null;
  if (shown.kind === 'worker') {
    const worker = workerOf(shown.key);
    return worker ? <WorkerPanel key={shown.key} worker={worker} /> : <Gone kind="worker" name={shown.key} />;
  }
  if (shown.kind === 'hive') {
    const hive = hives.get(shown.id);
    return hive ? <HivePanel key={shown.id} hive={hive} /> : <Gone kind="hive" name={shown.id} />;
  }
  const hive = hives.get(shown.hive);
  const gpu = hive?.view.gpus.find((candidate) => candidate.uuid === shown.uuid);
  return hive && gpu ? <GpuPanel key={shown.uuid} hive={hive} gpu={gpu} /> : <Gone kind="gpu" name={shown.uuid} />;
}

function Gone({ kind, name }: { readonly kind: MissingKind; readonly name: string }) {
  const item = missing.value.find((candidate) => candidate.kind === kind && candidate.key === name);
  if (item) return <MissingPanel item={item} />;
  return (
    <div class="panel-body">
      <h2>{name}</h2>
      <p class="nothing">
        {loaded.value && connection.value.kind === 'live'
          ? `This ${kind === 'gpu' ? 'GPU' : kind} is gone from the fleet.`
          : `Waiting for the queen…`}
      </p>
    </div>
  );
}
