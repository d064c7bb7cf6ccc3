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

/** Lines that are drawn as one: a heading, or some lines of hosts. */
export interface HeatBlock {
  /** Of its first line. */
  readonly first: number;
  readonly lines: readonly HeatLine[];
}

const linesPerBlock = 4;

export function heatBlocks(lines: readonly HeatLine[]): HeatBlock[] {
  const blocks: { readonly first: number; readonly lines: HeatLine[] }[] = [];
  for (const [index, line] of lines.entries()) {
    const open = blocks.at(-1);
    const isFull = open === undefined || open.lines.length === linesPerBlock || open.lines[0]!.heading !== null;
    if (isFull || line.heading !== null) blocks.push({ first: index, lines: [line] });
    else open.lines.push(line);
  }
  return blocks;
}

export interface Place {
  readonly line: number;
  /** Of the host in its line. */
  readonly host: number;
  readonly gpu: number;
}

type Count = (place: Place) => number;

/** The nearest host with GPUs in this direction, through all lines; `from` where there is none. */
function nextHost(lines: readonly HeatLine[], countAt: Count, from: Place, step: 1 | -1): Place {
  let { line, host } = from;
  for (;;) {
    host += step;
    const hosts = lines[line]?.hosts;
    if (hosts === undefined) return from;
    if (host < 0 || host >= hosts.length) {
      line += step;
      host = step > 0 ? -1 : (lines[line]?.hosts.length ?? 0);
      continue;
    }
    const count = countAt({ line, host, gpu: 0 });
    if (count > 0) return { line, host, gpu: step > 0 ? 0 : count - 1 };
  }
}

/** The host in about the same place of the next line that has GPUs there. */
function nextLine(lines: readonly HeatLine[], countAt: Count, from: Place, step: 1 | -1): Place {
  for (let line = from.line + step; line >= 0 && line < lines.length; line += step) {
    const host = Math.min(from.host, lines[line]!.hosts.length - 1);
    const count = countAt({ line, host, gpu: 0 });
    if (count > 0) return { line, host, gpu: Math.min(from.gpu, count - 1) };
  }
  return from;
}

/** Where an arrow key leads from a place. `gpusOf`: how many a host has; hosts without any are passed over. */
export function moveHeat(
  lines: readonly HeatLine[],
  gpusOf: (hive: string) => number,
  from: Place,
  key: 'ArrowLeft' | 'ArrowRight' | 'ArrowUp' | 'ArrowDown',
): Place {
  const countAt: Count = ({ line, host }) => {
    const id = lines[line]?.hosts[host];
    return id === undefined ? 0 : gpusOf(id);
  };
  const step = key === 'ArrowRight' || key === 'ArrowDown' ? 1 : -1;
  if (key === 'ArrowUp' || key === 'ArrowDown') return nextLine(lines, countAt, from, step);
  const gpu = from.gpu + step;
  return gpu >= 0 && gpu < countAt(from) ? { ...from, gpu } : nextHost(lines, countAt, from, step);
}
