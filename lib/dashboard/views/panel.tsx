import { useEffect, useRef } from 'preact/hooks';
import type { MissingKind } from '../../contract/missing.js';
import { connection, drawn, hives, loaded, workerOf } from '../data/fleet.js';
import { at, go, parseShown } from '../data/location.js';
import { missing } from '../data/missing.js';
import { MissingPanel } from './missing.js';
import { GpuPanel } from './panel-gpu.js';
import { HivePanel } from './panel-hive.js';
import { WorkerPanel } from './panel-worker.js';

/** What is looked at more closely, beside the lists. Escape closes it. */
export function Panel() {
  const shown = parseShown(at.show.value);
  const panel = useRef<HTMLElement>(null);
  const isOpen = shown !== null;
  useEffect(() => {
    if (panel.current) panel.current.scrollTop = 0;
  }, [at.show.value]);
  if (!isOpen) return null;
  return (
    <aside ref={panel} class="panel" aria-label="Details">
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
