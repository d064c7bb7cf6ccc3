import { type Static, type TSchema, Type } from 'typebox';
import { idPattern, labelKeyPattern, maxLabelLength, maxLabels } from './limits.js';

export { idPattern, maxLabelLength, maxLabels } from './limits.js';

/** The value, or null where it is not known. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** A finite number, or null where it is not known. */
export const Measured = (description: string, options: { minimum?: number; maximum?: number } = {}) =>
  Nullable(Type.Number({ description, ...options }));

/** A finite number >= 0, or null where it is not known. */
export const Amount = (description: string) => Measured(description, { minimum: 0 });

/** One of the strings given. A plain enum, so that OpenAPI lists the values. */
export const OneOf = <const T extends readonly string[]>(values: T, description?: string) =>
  Type.Enum(values as unknown as string[], description ? { description } : {}) as unknown as ReturnType<
    typeof Type.Unsafe<T[number]>
  >;

export const Id = (description: string) => Type.String({ pattern: idPattern, description });

/** At most 32 labels; key 1 to 63 of `[A-Za-z0-9_./-]`, value at most 256 characters. */
export const Labels = Type.Record(
  Type.String({ pattern: labelKeyPattern }),
  Type.String({ maxLength: maxLabelLength }),
  {
    maxProperties: maxLabels,
    description: 'At most 32 labels; a key has 1 to 63 characters of [A-Za-z0-9_./-], a value at most 256.',
  },
);
export type Labels = Static<typeof Labels>;
