import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Fault } from '../../contract/heartbeat.js';
import { connection, drawn, hives, loaded, workers } from '../data/fleet.js';
import { at, go, parseShown, show } from '../data/location.js';
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
    const worker = workers.get(shown.key);
    return worker ? <WorkerPanel key={shown.key} worker={worker} /> : <Gone what="worker" name={shown.key} />;
  }
  if (shown.kind === 'hive') {
    const hive = hives.get(shown.id);
    return hive ? <HivePanel key={shown.id} hive={hive} /> : <Gone what="hive" name={shown.id} />;
  }
  const hive = hives.get(shown.hive);
  const gpu = hive?.view.gpus.find((candidate) => candidate.uuid === shown.uuid);
  return hive && gpu ? <GpuPanel key={shown.uuid} hive={hive} gpu={gpu} /> : <Gone what="GPU" name={shown.uuid} />;
}

function Gone({ what, name }: { readonly what: string; readonly name: string }) {
  return (
    <div class="panel-body">
      <h2>{name}</h2>
      <p class="nothing">
        {loaded.value && connection.value.kind === 'live'
          ? `This ${what} is gone from the fleet.`
          : `Waiting for the queen…`}
      </p>
    </div>
  );
}

export function Facts({ rows }: { readonly rows: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Faults({ faults }: { readonly faults: readonly Fault[] }) {
  if (faults.length === 0) return null;
  return (
    <ul class="faults">
      {faults.map((fault) => (
        <li key={`${fault.code}${fault.workerId ?? ''}${fault.gpuUuid ?? ''}${fault.field ?? ''}`}>
          <span class="symbol" aria-hidden="true">
            ◆
          </span>
          <span>
            {fault.message} <small>{fault.code}</small>
          </span>
        </li>
      ))}
    </ul>
  );
}

export function LinkTo({ to, children }: { readonly to: string; readonly children: ComponentChildren }) {
  return (
    <button type="button" class="link" onClick={() => show(to)}>
      {children}
    </button>
  );
}

export function Labels({ labels }: { readonly labels: Readonly<Record<string, string>> }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return <>none</>;
  return (
    <>
      {entries.map(([key, value]) => (
        <span key={key} class="label-chip">
          {key}={value}
        </span>
      ))}
    </>
  );
}
