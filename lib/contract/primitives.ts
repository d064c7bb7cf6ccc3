import { type Static, type TSchema, Type } from 'typebox';

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

/** One part of a worker id, and a hive id: it becomes a path, a unit name and a URL segment. */
export const idPattern = '^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,127}$';
export const Id = (description: string) => Type.String({ pattern: idPattern, description });

export const maxLabels = 32;
export const maxLabelLength = 256;

/** At most 32 labels; key 1 to 63 of `[A-Za-z0-9_./-]`, value at most 256 characters. */
export const Labels = Type.Record(
  // `__proto__` would change what object a reader builds, not add a label to it.
  Type.String({ pattern: '^(?!__proto__$)[A-Za-z0-9_./-]{1,63}$' }),
  Type.String({ maxLength: maxLabelLength }),
  {
    maxProperties: maxLabels,
    description: 'At most 32 labels; a key has 1 to 63 characters of [A-Za-z0-9_./-], a value at most 256.',
  },
);
export type Labels = Static<typeof Labels>;
