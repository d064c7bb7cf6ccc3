/** What the cells of a heat map look like and say. Pure. */
import { oldValuesText } from '../../present/sentences.js';
import { gpuStyle, type StatusStyle, type Tone } from '../../present/status.js';
import { formatCelsius, formatGibOf, formatPercent } from '../../present/units.js';
import type { Hive } from './fleet.js';
import { heatLevel, heats, heatValue, isHeat } from './heat.js';

type CellGpu = Hive['view']['gpus'][number];

export interface CellLook {
  /** 1 to 5 of the scale; null: no scale, or a value that is not known. */
  readonly level: number | null;
  /** Of its state, where that colours it; null: hatched unless it has a level. */
  readonly tone: Tone | null;
  readonly text: string;
}

type StatusNow = (status: StatusStyle) => StatusStyle;

export function cellLook({ view }: Hive, gpu: CellGpu, color: string, now: StatusNow): CellLook {
  const { tone, symbol } = now(gpuStyle({ health: gpu.health, liveness: view.liveness }));
  if (!isHeat(color)) return { level: null, tone, text: symbol };
  const value = heatValue(color, { gpu });
  return value === null
    ? { level: null, tone: null, text: symbol }
    : { level: heatLevel(color, value), tone: null, text: value.toFixed(0) };
}

/** A GPU alone, as the keys and the mouse come to it. */
export function cellText({ view: { id, liveness } }: Hive, gpu: CellGpu, now: StatusNow): string {
  return [
    `GPU ${gpu.index} of ${id}: ${now(gpuStyle({ health: gpu.health, liveness })).word}`,
    ...(liveness === 'online' ? [] : [oldValuesText(liveness)]),
    `utilization ${gpu.utilizationPercent === null ? 'unknown' : formatPercent(gpu.utilizationPercent)}`,
    `VRAM ${gpu.memoryUsedBytes === null ? 'unknown' : formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}`,
    `temperature ${gpu.temperatureCelsius === null ? 'unknown' : formatCelsius(gpu.temperatureCelsius)}`,
  ].join(', ');
}

/** All GPUs of a host, each with what is on its cell: `GPU 0 63 %, GPU 1 stalled`. */
export function hostCellsText({ view }: Hive, color: string, now: StatusNow): string {
  return view.gpus
    .map((gpu) => {
      const value = isHeat(color) ? heatValue(color, { gpu }) : null;
      if (value !== null && isHeat(color)) return `GPU ${gpu.index} ${value.toFixed(0)} ${heats[color].unit}`;
      return `GPU ${gpu.index} ${now(gpuStyle({ health: gpu.health, liveness: view.liveness })).word}`;
    })
    .join(', ');
}
