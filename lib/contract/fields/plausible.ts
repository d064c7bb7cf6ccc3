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
/** Of one engine. */
export const requests = { least: 0, most: 1e7 } as const;
export const tokens = { least: 0, most: 1e12 } as const;
/** A century. */
export const milliseconds = { least: 0, most: 3.2e12 } as const;
export const seconds = { least: 0, most: 3.2e9 } as const;

export const roundingBytes = 64 * 1024 ** 2;
/** Values that no device measures, whatever the range: all ones of 32 and 64 bits. */
const allOnes = new Set([2 ** 32 - 1, 2 ** 64 - 1, 2 ** 64, -1]);

export interface Rule extends Plausible {
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

/** No device can have this value, or not beside the others of its item. */
function isBeyond({ least, most, of }: Rule, value: number, values: Values): boolean {
  const limit = of === undefined ? null : values[of];
  if (typeof limit === 'number' && value > limit + roundingBytes) return true;
  return !(value >= least && value <= most) || allOnes.has(value);
}

/** The one check of numbers before they are values: sets to null what can't be, and calls `report` with what stood there. */
export function nullImplausible(
  rules: readonly Rule[],
  item: object,
  report: (field: string, value: number) => void,
): void {
  const values = item as Values;
  for (const rule of rules) {
    const value = values[rule.name];
    if (typeof value !== 'number' || !isBeyond(rule, value, values)) continue;
    values[rule.name] = null;
    report(rule.name, value);
  }
}

/**
 * Whether `nullImplausible` would find nothing, as plain code made of the rules: a queen asks it of every item of every
 * heartbeat. Of items whose every field is there, as a number or null.
 */
export function plausibleCheck(rules: readonly Rule[]): (item: object) => boolean {
  try {
    return new Function('item', plausibleSource(rules)) as (item: object) => boolean;
  } catch (error) {
    // A process that may not generate code (`node --disallow-code-generation-from-strings`).
    if (!(error instanceof EvalError)) throw error;
    return (item) => {
      const values = item as Values;
      return rules.every((rule) => {
        const value = values[rule.name];
        return typeof value !== 'number' || !isBeyond(rule, value, values);
      });
    };
  }
}

function plausibleSource(rules: readonly Rule[]): string {
  const lines = ['let value;'];
  for (const { name, least, most, of } of rules) {
    if (!/^[A-Za-z]\w*$/.test(name)) throw new Error(`${name} is no name of a field`);
    const forbidden = [...allOnes].filter((ones) => ones >= least && ones <= most);
    const holds = [
      `value >= ${least}`,
      `value <= ${most}`,
      ...forbidden.map((ones) => `value !== ${ones}`),
      ...(of === undefined ? [] : [`(item.${of} === null || value <= item.${of} + ${roundingBytes})`]),
    ];
    lines.push(`value = item.${name};`, `if (value !== null && !(${holds.join(' && ')})) return false;`);
  }
  return [...lines, 'return true;'].join('\n');
}
