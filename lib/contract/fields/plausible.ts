import type { FieldTable, Plausible } from './field.js';
import { known } from './shape.js';

/** Bounds of kinds of values. */
export const bytes = { least: 0, most: 2 ** 50 } as const;
/** On one GPU; its memory is a multiple of MiB, and readers round each figure up by itself. */
export const gpuBytes = { least: 0, most: 2 ** 46, of: 'memoryTotalBytes' } as const;
export const count = { least: 0, most: 2 ** 48 } as const;
export const cpuPercent = { least: 0, most: 100 * 2 ** 20 } as const;
/** PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h). */
export const pid = { least: 1, most: 2 ** 22 } as const;
/** A century. */
export const seconds = { least: 0, most: 3.2e9 } as const;

export const roundingBytes = 64 * 1024 ** 2;
/** Values that no device measures, whatever the range: all ones of 32 and 64 bits. */
const allOnes = new Set([2 ** 32 - 1, 2 ** 64 - 1, 2 ** 64, -1]);

interface Rule extends Plausible {
  readonly name: string;
}

/** Rules of a table: of each number that may be null, its `plausible`, else the bounds of its shape. */
export function plausibleRules(table: FieldTable): readonly Rule[] {
  return Object.entries(table).flatMap(([name, { shape, plausible }]): Rule[] => {
    const { type, minimum, maximum } = known(shape);
    if (plausible !== undefined) return [{ name, ...plausible }];
    if ((type !== 'number' && type !== 'integer') || maximum === undefined) return [];
    return [{ name, least: minimum ?? 0, most: maximum }];
  });
}

type Values = Record<string, unknown>;

/** The one check of numbers before they are values: sets to null what can't be, and calls `report` with what stood there. */
export function nullImplausible(
  rules: readonly Rule[],
  item: object,
  report: (field: string, value: number) => void,
): void {
  const values = item as Values;
  for (const { name, least, most, of } of rules) {
    const value = values[name];
    if (typeof value !== 'number') continue;
    const limit = of === undefined ? null : values[of];
    const beyond = typeof limit === 'number' && value > limit + roundingBytes;
    if (value >= least && value <= most && !beyond && !allOnes.has(value)) continue;
    values[name] = null;
    report(name, value);
  }
}
