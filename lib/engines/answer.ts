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

/** Which names clients may ask for, by an answer of the engine; the most that are read. */
export interface ModelsQuestion {
  readonly path: string;
  readonly names: (json: unknown) => readonly string[];
}

const maxListed = 64;
/** A file of a store by its digest: clients ask for another name. */
const isBlob = (name: string): boolean => /(?:^|[/\\])sha256[-:]/.test(name);
const isName = (name: unknown): name is string => typeof name === 'string' && name !== '' && !isBlob(name);

/** Texts under `key` of the entries of a list; none where the answer is not such a list. */
const namesIn =
  (list: string, key: string) =>
  (json: unknown): readonly string[] => {
    const entries = memberOf(json, list);
    if (!Array.isArray(entries)) return [];
    return entries
      .slice(0, maxListed)
      .map((entry) => memberOf(entry, key))
      .filter(isName);
  };

/** The list of models in OpenAI's form. */
export const openAiModels: ModelsQuestion = { path: '/v1/models', names: namesIn('data', 'id') };
/** Models that Ollama has loaded. */
export const loadedModels: ModelsQuestion = { path: '/api/ps', names: namesIn('models', 'name') };
/** The one model of text-generation-inference and text-embeddings-inference. */
export const infoModel: ModelsQuestion = {
  path: '/info',
  names: (json) => [memberOf(json, 'model_id')].filter(isName),
};
