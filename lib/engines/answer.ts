/** What a server said to one GET. */
export interface Answer {
  readonly status: number;
  /** Its body as JSON; undefined where it is none, or longer than any that is looked at. */
  readonly json: unknown;
}

/** A question whose answer shows that a server is this engine. It changes nothing there. */
export interface IdentityQuestion {
  readonly path: string;
  readonly is: (answer: Answer) => boolean;
}

/** The value of a key of an object; undefined where it is no object, or lacks the key. */
export const memberOf = (json: unknown, key: string): unknown =>
  typeof json === 'object' && json !== null && Object.hasOwn(json, key)
    ? (json as Record<string, unknown>)[key]
    : undefined;

/** A successful answer with a text under each of the keys. */
export const hasText =
  (...keys: readonly string[]) =>
  ({ status, json }: Answer): boolean =>
    status === 200 && keys.every((key) => typeof memberOf(json, key) === 'string');

/** A successful list of models, at least one, of which each says that it is owned so. */
export const modelsOwnedBy =
  (owner: string) =>
  ({ status, json }: Answer): boolean => {
    const models = memberOf(json, 'data');
    return (
      status === 200 &&
      Array.isArray(models) &&
      models.length > 0 &&
      models.every((model) => memberOf(model, 'owned_by') === owner)
    );
  };
