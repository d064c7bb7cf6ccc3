import type { FieldTable } from '../contract/fields/field.js';
import { known, type Shape } from '../contract/fields/shape.js';

/** Values that are kept for others to share; more than that, or longer ones, are too different to be worth it. */
const maxValues = 4096;
const maxLength = 256;

type Item = Record<string, unknown>;

/** A text of its own for each item: none is like another. */
const isUnique = ({ format }: Shape<unknown>, identity: boolean | undefined): boolean =>
  identity === true || format === 'date-time';

/**
 * Gives equal texts, labels and lists of texts of items one object, as many hosts of a fleet are set up alike: commands,
 * addresses of GPUs, labels. What is shared is never written.
 */
export class SharedValues {
  readonly #texts: readonly string[];
  /** Fields whose values are compared as JSON. */
  readonly #others: readonly string[];
  readonly #known = new Map<string, unknown>();

  constructor(table: FieldTable) {
    const shapes = Object.entries(table).map(([name, { shape, identity }]) => ({
      name,
      identity,
      shape: known(shape),
    }));
    const unlike = shapes.filter(({ shape, identity }) => !isUnique(shape, identity));
    this.#texts = unlike.filter(({ shape }) => shape.type === 'string').map(({ name }) => name);
    this.#others = unlike
      .filter(({ shape: { items, patternProperties } }) => patternProperties || (items && !known(items).properties))
      .map(({ name }) => name);
  }

  /** Puts what is known already in the place of its equals. */
  share<T extends object>(item: T): T {
    const fields = item as Item;
    for (const name of this.#texts) {
      const text = fields[name];
      if (typeof text === 'string') fields[name] = this.#one(text, text);
    }
    for (const name of this.#others) {
      const value = fields[name];
      if (typeof value === 'object' && value !== null) fields[name] = this.#one(JSON.stringify(value), value);
    }
    return item;
  }

  #one(key: string, value: unknown): unknown {
    if (key.length > maxLength) return value;
    const shared = this.#known.get(key);
    // A text can be that of a list, as JSON: each gets what it is.
    if (typeof shared === typeof value) return shared;
    if (this.#known.size >= maxValues) this.#known.clear();
    this.#known.set(key, value);
    return value;
  }
}
