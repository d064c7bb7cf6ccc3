import type { VNode } from 'preact';
import { vi } from 'vitest';
import type { HiveView, WorkerView } from '../../lib/contract/api.js';

/** Lines of what a component draws: one for each element with its attributes, and one for each text. */
export function drawnLines(node: unknown, indent = ''): string[] {
  if (Array.isArray(node)) return node.flatMap((child) => drawnLines(child, indent));
  if (node === null || node === undefined || typeof node === 'boolean') return [];
  if (typeof node !== 'object') return [`${indent}${node}`];
  const { type, props } = node as VNode<Record<string, unknown>>;
  const { children, ...rest } = props;
  if (typeof type === 'function') return drawnLines((type as (given: unknown) => unknown)(props), indent);
  const attributes = Object.entries(rest)
    .filter(([name, value]) => name !== 'ref' && typeof value !== 'function' && value !== undefined)
    .map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return [`${indent}<${type}${attributes.join('')}>`, ...drawnLines(children, `${indent}  `)];
}

/** Drawn where a window would be; its modules ask for it when they are loaded. */
export async function drawnPage() {
  const noEvents = { addEventListener: () => undefined };
  const matchMedia = () => ({ matches: false, ...noEvents });
  vi.stubGlobal('matchMedia', matchMedia);
  vi.stubGlobal('window', { location: new URL('http://queen.example/'), matchMedia, ...noEvents });
  vi.stubGlobal('location', new URL('http://queen.example/'));
  vi.stubGlobal('document', { documentElement: { dataset: {} }, ...noEvents });
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });
  vi.stubGlobal('requestAnimationFrame', () => 0);
  const [worker, gpu, hive, bar, { mirror }] = await Promise.all([
    import('../../lib/dashboard/views/panel-worker.js'),
    import('../../lib/dashboard/views/panel-gpu.js'),
    import('../../lib/dashboard/views/panel-hive.js'),
    import('../../lib/dashboard/views/fleet-bar.js'),
    import('../../lib/dashboard/data/fleet.js'),
  ]);
  return (hives: readonly HiveView[], workers: readonly WorkerView[]): string => {
    mirror.apply(
      { type: 'snapshot', data: { hives: [...hives], workers: [...workers], warming: false, lastEventId: '' } },
      0,
    );
    const lines = [drawnLines(bar.FleetBar())];
    for (const each of mirror.hives.values()) {
      lines.push(drawnLines(hive.HivePanel({ hive: each })));
      for (const one of each.view.gpus) lines.push(drawnLines(gpu.GpuPanel({ hive: each, gpu: one })));
    }
    for (const each of mirror.workers.values()) lines.push(drawnLines(worker.WorkerPanel({ worker: each })));
    return lines.flat().join('\n');
  };
}
