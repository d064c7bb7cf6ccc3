/**
 * JSON Schema of the values of fields, as plain data with the type of the value. Hive and page read the table of fields
 * without the schema library, which takes 9 MiB of a process.
 */
import { labelKeyPattern, maxLabelLength, maxLabels } from '../limits.js';

declare const valueType: unique symbol;

export interface Shape<T> {
  readonly type?: string;
  readonly anyOf?: readonly Shape<unknown>[];
  readonly enum?: readonly string[];
  readonly items?: Shape<unknown>;
  readonly properties?: Readonly<Record<string, Shape<unknown>>>;
  readonly patternProperties?: Readonly<Record<string, Shape<unknown>>>;
  readonly required?: readonly string[];
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly pattern?: string;
  readonly format?: string;
  /** Only for the compiler. */
  readonly [valueType]?: T;
}

/** Type of the value of a shape. */
export type ValueOfShape<S> = S extends Shape<infer T> ? T : never;

/** The shape as it is where it is not null. */
export const known = (shape: Shape<unknown>): Shape<unknown> =>
  shape.anyOf?.find(({ type }) => type !== 'null') ?? shape;

export const isNullable = (shape: Shape<unknown>): boolean => shape.anyOf?.some(({ type }) => type === 'null') ?? false;

/** The value, or null where it is not known. */
export const nullable = <T>(shape: Shape<T>): Shape<T | null> => ({ anyOf: [shape, { type: 'null' }] });

const described = (description: string | undefined) => (description === undefined ? {} : { description });

export const integer = (minimum: number, description?: string, maximum?: number): Shape<number> => ({
  type: 'integer',
  minimum,
  ...(maximum === undefined ? {} : { maximum }),
  ...described(description),
});

export const boolean = (description?: string): Shape<boolean> => ({ type: 'boolean', ...described(description) });

export const text = (
  limits: Pick<Shape<string>, 'minLength' | 'maxLength' | 'pattern' | 'format'>,
  description?: string,
): Shape<string> => ({ type: 'string', ...limits, ...described(description) });

export const oneOf = <const T extends readonly string[]>(values: T): Shape<T[number]> => ({ enum: values });

export const list = <T>(items: Shape<T>, maxItems: number, description?: string): Shape<T[]> => ({
  type: 'array',
  items,
  maxItems,
  ...described(description),
});

export const record = <P extends Readonly<Record<string, Shape<unknown>>>>(
  properties: P,
): Shape<{ -readonly [K in keyof P]: ValueOfShape<P[K]> }> => ({
  type: 'object',
  required: Object.keys(properties),
  properties,
});

/** A finite number within bounds, or null where it is not known. */
export const measured = (
  description: string,
  bounds: { minimum?: number; maximum?: number } = {},
): Shape<number | null> => nullable({ type: 'number', description, ...bounds });

/** A finite number >= 0, or null where it is not known. */
export const amount = (description: string) => measured(description, { minimum: 0 });

/** A percentage of at most 100, or null where it is not known. */
export const share = (description: string) => measured(description, { minimum: 0, maximum: 100 });

export const time: Shape<string> = text({ format: 'date-time' });

export const labels: Shape<Record<string, string>> = {
  type: 'object',
  patternProperties: { [labelKeyPattern]: { type: 'string', maxLength: maxLabelLength } },
  maxProperties: maxLabels,
  description: 'At most 32 labels; a key has 1 to 63 characters of [A-Za-z0-9_./-], a value at most 256.',
};

/** Names of fields with a word each. */
export const reasonsByField: Shape<Record<string, string>> = {
  type: 'object',
  patternProperties: { [labelKeyPattern]: { type: 'string', maxLength: 64 } },
  maxProperties: 64,
};
