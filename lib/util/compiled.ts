/**
 * Plain code where it may be generated, else `otherwise`, which does the same: one function for all names would look each of them up at
 * every call. `body` holds nothing that is not a name of a field.
 */
export function compiled<F extends (...given: never[]) => unknown>(parameters: string, body: string, otherwise: F): F {
  try {
    return new Function(parameters, body) as unknown as F;
  } catch (error) {
    if (error instanceof EvalError) return otherwise;
    throw error;
  }
}
