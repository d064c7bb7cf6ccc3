import type { FieldTable, Plausible } from './field.js';
import { isNullable, known, type Shape } from './shape.js';

/** Bounds of kinds of values. */
export const bytes = { least: 0, most: 2 ** 50 } as const;
/** On one GPU; its memory is a multiple of MiB, and readers round each figure up by itself. */
export const roundingBytes = 64 * 1024 ** 2;
export const gpuBytes = { least: 0, most: 2 ** 46, of: 'memoryTotalBytes', slack: roundingBytes } as const;
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

/** Values that no device measures, whatever the range: all ones of 32 and 64 bits. Of 8 and 16 bits where a rule names the width. */
const allOnes = new Set([2 ** 32 - 1, 2 ** 64 - 1, 2 ** 64, -1]);

export interface Rule extends Plausible {
  readonly name: string;
  /** The property of a nested value. */
  readonly part?: string;
  /** One impossible property makes the whole of a nested value null; else the property alone is null. */
  readonly wholeIsNull?: boolean;
}

/**
 * Rules of a table: of each number that may be null, its `plausible`, else the bounds of its shape; also of nested ones.
 * A table within it (`rows`) has rules of its own.
 */
export function plausibleRules(table: FieldTable): readonly Rule[] {
  return Object.entries(table).flatMap(([name, { shape, plausible, rows }]): readonly Rule[] => {
    if (rows !== undefined) return [];
    if (plausible !== undefined) return [{ name, ...plausible }];
    const parts = Object.entries(known(shape).properties ?? {});
    const wholeIsNull = isNullable(shape);
    if (parts.length === 0) return boundsOf(shape).map((bounds) => ({ name, ...bounds }));
    return parts.flatMap(([part, each]) => boundsOf(each).map((bounds) => ({ name, part, wholeIsNull, ...bounds })));
  });
}

function boundsOf(shape: Shape<unknown>): readonly Plausible[] {
  const { type, minimum, maximum } = known(shape);
  if ((type !== 'number' && type !== 'integer') || maximum === undefined) return [];
  return [{ least: minimum ?? 0, most: maximum }];
}

type Values = Record<string, unknown>;

/** No device can have this value, or not beside the others of its item. */
function isBeyond({ least, most, of, slack = 0, width }: Rule, value: number, values: Values): boolean {
  const limit = of === undefined ? null : values[of];
  if (typeof limit === 'number' && value > limit + slack) return true;
  return !(value >= least && value <= most) || allOnes.has(value) || value === onesOf(width);
}

const onesOf = (width: Plausible['width']): number => (width === undefined ? Number.NaN : 2 ** width - 1);

/** Values within the bounds of a rule that no device measures. */
export const forbiddenBy = ({ least, most, width }: Plausible): readonly number[] =>
  [...allOnes, onesOf(width)].filter((ones) => ones >= least && ones <= most);

/** Where a rule's value stands: the item, or a nested value of it; null where that is not known. */
const holderOf = ({ name, part }: Rule, item: Values): Values | null =>
  part === undefined ? item : ((item[name] ?? null) as Values | null);

/** A number as the driver gave it: all ones of 64 bits have no double of their own. */
export const rawText = (value: number): string => (value === 2 ** 64 ? '18446744073709551615' : String(value));

/** The one check of numbers before they are values: sets to null what can't be, and calls `report` with what stood there. */
export function nullImplausible(
  rules: readonly Rule[],
  item: object,
  report: (field: string, value: number) => void,
): void {
  const values = item as Values;
  for (const rule of rules) {
    const { name, part, wholeIsNull } = rule;
    const holder = holderOf(rule, values);
    const value = holder?.[part ?? name];
    if (holder === null || typeof value !== 'number' || !isBeyond(rule, value, holder)) continue;
    if (part === undefined || wholeIsNull) values[name] = null;
    else holder[part] = null;
    report(part === undefined || wholeIsNull ? name : `${name}.${part}`, value);
  }
}

/**
 * Whether `nullImplausible` would find nothing, as plain code made of the rules: a queen asks it of every item of every
 * heartbeat. Of items whose fields are numbers, null or left out.
 */
export function plausibleCheck(rules: readonly Rule[]): (item: object) => boolean {
  try {
    return new Function('item', plausibleSource(rules)) as (item: object) => boolean;
  } catch (error) {
    // A process that may not generate code (`node --disallow-code-generation-from-strings`).
    if (!(error instanceof EvalError)) throw error;
    return (item) =>
      rules.every((rule) => {
        const holder = holderOf(rule, item as Values);
        const value = holder?.[rule.part ?? rule.name];
        return holder === null || typeof value !== 'number' || !isBeyond(rule, value, holder);
      });
  }
}

function plausibleSource(rules: readonly Rule[]): string {
  const lines = ['let value;'];
  for (const rule of rules) {
    const { name, part, wholeIsNull, least, most, of, slack = 0 } = rule;
    for (const each of [name, part ?? name, of ?? name])
      if (!/^[A-Za-z]\w*$/.test(each)) throw new Error(`${each} is no name of a field`);
    const holder = part === undefined ? 'item' : `item.${name}`;
    const holds = [
      `value >= ${least}`,
      `value <= ${most}`,
      ...forbiddenBy(rule).map((ones) => `value !== ${ones}`),
      ...(of === undefined ? [] : [`(${holder}.${of} == null || value <= ${holder}.${of} + ${slack})`]),
    ];
    const there = wholeIsNull ? `item.${name} == null ? null : ` : '';
    lines.push(
      `value = ${there}${holder}.${part ?? name};`,
      `if (value != null && !(${holds.join(' && ')})) return false;`,
    );
  }
  return [...lines, 'return true;'].join('\n');
}
