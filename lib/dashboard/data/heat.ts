/** Cells of the heat map: what each says, and how dark it is. Pure. */
import type { GpuRow } from './fleet-rows.js';

export const heats = {
  '': { label: 'Utilization', unit: '%', ends: [20, 40, 60, 80] },
  vram: { label: 'VRAM used', unit: '%', ends: [20, 40, 60, 80] },
  temperature: { label: 'Temperature', unit: '°C', ends: [45, 55, 65, 80] },
} as const;
export type Heat = keyof typeof heats;
export const isHeat = (name: string): name is Heat => Object.hasOwn(heats, name);

export function heatValue(heat: Heat, { gpu }: Pick<GpuRow, 'gpu'>): number | null {
  if (heat === '') return gpu.utilizationPercent;
  if (heat === 'temperature') return gpu.temperatureCelsius;
  const { memoryUsedBytes: used, memoryTotalBytes: total } = gpu;
  return used === null || total === null || total === 0 ? null : (used / total) * 100;
}

/** From 1, the least, to 5. */
export const heatLevel = (heat: Heat, value: number): number =>
  1 + heats[heat].ends.filter((end) => value >= end).length;

/** `0–20 %`, ..., `80 % and more` */
export function heatLegend(heat: Heat): string[] {
  const { ends, unit } = heats[heat];
  const [least, most] = [ends[0], ends[ends.length - 1]];
  return [
    `below ${least} ${unit}`,
    ...ends.slice(1).map((end, index) => `${ends[index]}–${end} ${unit}`),
    `${most} ${unit} and more`,
  ];
}

export interface HeatHost {
  readonly id: string;
  readonly gpus: number;
}
export interface HeatLine {
  /** Above it; null: it goes on. */
  readonly heading: { readonly name: string; readonly text: string } | null;
  readonly hosts: readonly string[];
  /** Lines of cells of the host that has the most. */
  readonly cellLines: number;
}

/** Hosts side by side, `perLine` of them, `cells` GPUs beside each other. */
export function heatLines(
  groups: readonly { readonly name: string; readonly text: string; readonly hosts: readonly HeatHost[] }[],
  perLine: number,
  cells: number,
): HeatLine[] {
  return groups.flatMap(({ name, text, hosts }) => [
    ...(name === '' ? [] : [{ heading: { name, text }, hosts: [], cellLines: 0 }]),
    ...Array.from({ length: Math.ceil(hosts.length / perLine) }, (_, line) => {
      const some = hosts.slice(line * perLine, (line + 1) * perLine);
      return {
        heading: null,
        hosts: some.map(({ id }) => id),
        cellLines: Math.max(1, ...some.map(({ gpus }) => Math.ceil(gpus / cells))),
      };
    }),
  ]);
}

export interface Place {
  readonly line: number;
  /** Of the host in its line. */
  readonly host: number;
  readonly gpu: number;
}

/** Where an arrow key leads from a place. `gpusOf`: how many a host has; hosts without any are passed over. */
export function moveHeat(
  lines: readonly HeatLine[],
  gpusOf: (hive: string) => number,
  from: Place,
  key: 'ArrowLeft' | 'ArrowRight' | 'ArrowUp' | 'ArrowDown',
): Place {
  const hostAt = ({ line, host }: Place) => lines[line]?.hosts[host];
  const countAt = (place: Place) => {
    const id = hostAt(place);
    return id === undefined ? 0 : gpusOf(id);
  };
  if (key === 'ArrowLeft' || key === 'ArrowRight') {
    const step = key === 'ArrowRight' ? 1 : -1;
    const inHost = from.gpu + step;
    if (inHost >= 0 && inHost < countAt(from)) return { ...from, gpu: inHost };
    let [line, host] = [from.line, from.host + step];
    while (line >= 0 && line < lines.length) {
      const hosts = lines[line]!.hosts;
      for (; host >= 0 && host < hosts.length; host += step) {
        const count = countAt({ line, host, gpu: 0 });
        if (count > 0) return { line, host, gpu: step > 0 ? 0 : count - 1 };
      }
      line += step;
      host = step > 0 ? 0 : (lines[line]?.hosts.length ?? 0) - 1;
    }
    return from;
  }
  const step = key === 'ArrowDown' ? 1 : -1;
  for (let line = from.line + step; line >= 0 && line < lines.length; line += step) {
    const host = Math.min(from.host, lines[line]!.hosts.length - 1);
    const count = countAt({ line, host, gpu: 0 });
    if (count > 0) return { line, host, gpu: Math.min(from.gpu, count - 1) };
  }
  return from;
}
