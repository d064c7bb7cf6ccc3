import type { ComponentChildren } from 'preact';
import type { Fault } from '../../contract/heartbeat.js';
import { show } from '../data/location.js';

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
