import type { TSchema } from 'typebox';

/** JSON Schema as far as the contract uses it. */
export interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

export const nodeOf = (schema: TSchema): SchemaNode => schema as unknown as SchemaNode;

/** Which values become null: none, every one that can be, or about a third of them. */
export type Nulls = 'none' | 'all' | 'some';

/** FNV-1a: the value of a path stays the same when another field is added. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
}

/** The range that a name suggests, so that every unit is shown in its usual size. */
function largest(name: string): number {
  if (/Bytes$/.test(name)) return 2 ** 40;
  if (/BytesPerSecond$/.test(name)) return 2 ** 31;
  if (/Percent$/.test(name)) return 700;
  if (/Seconds$/.test(name)) return 4e6;
  if (/Ms$/.test(name)) return 9000;
  if (/Celsius$/.test(name)) return 110;
  return 5000;
}

/**
 * A valid value of a schema, made from its path and a seed: the same each time, and another one for another seed. Derived
 * from the schema, so that a new field has a value the day it is added.
 */
export function schemaValue(node: SchemaNode, path: string, seed: number, nulls: Nulls = 'none'): unknown {
  const number = hash(`${path}#${seed}`);
  if (node.const !== undefined) return node.const;
  if (node.anyOf !== undefined) {
    const known = node.anyOf.find(({ type }) => type !== 'null') as SchemaNode;
    if (nulls === 'all' || (nulls === 'some' && number % 3 === 0)) return null;
    return schemaValue(known, path, seed, nulls);
  }
  if (node.enum !== undefined) return node.enum[(hash(path) + seed) % node.enum.length];
  if (node.properties !== undefined)
    return Object.fromEntries(
      Object.entries(node.properties).map(([key, property]) => [
        key,
        schemaValue(property, `${path}.${key}`, seed, nulls),
      ]),
    );
  if (node.patternProperties !== undefined) return { [`key-${number % 97}`]: `label-${number % 9973}` };
  if (node.items !== undefined)
    return [0, 1].map((i) => schemaValue(node.items as SchemaNode, `${path}.${i}`, seed, nulls));
  if (node.type === 'boolean') return (hash(path) + seed) % 2 === 0;
  if (node.type === 'integer' || node.type === 'number') {
    const low = node.minimum ?? 0;
    const high = Math.min(node.maximum ?? Number.POSITIVE_INFINITY, largest(path.split('.').at(-1) ?? ''));
    const at = low + (number / 2 ** 32) * (high - low);
    // Never the least value, which is often a default, and whole where the schema or the size asks for it.
    return node.type === 'integer' || high > 1e6 ? Math.floor(at) + 1 : Math.round(at * 100) / 100 + 0.01;
  }
  if (node.format === 'date-time') return new Date(Date.UTC(2026, 0, 2) + (number % 1e8)).toISOString();
  if (node.format === 'uuid') return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  return `${path.split('.').at(-1)}-${number % 99991}`.slice(-(node.maxLength ?? 64));
}

/** The value of a whole schema, typed by it. */
export const sampleValue = <T>(schema: TSchema, path: string, seed: number, nulls: Nulls = 'none'): T =>
  schemaValue(nodeOf(schema), path, seed, nulls) as T;
