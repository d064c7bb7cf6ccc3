import type { WorkerSample } from './heartbeat.js';

/** What a worker says of its model. */
export interface ModelNames {
  readonly model: WorkerSample['model'];
  readonly models?: WorkerSample['models'] | undefined;
}

/** Every name that clients may ask for, `model` first; a hive of an older version says only that one. */
export function modelsOf({ model, models }: ModelNames): readonly string[] {
  if (model === null) return models ?? [];
  if (models == null) return [model];
  return models[0] === model ? models : [...new Set([model, ...models])];
}

/** Whether clients may ask a worker for a model by this name. */
export const servesModel = (worker: ModelNames, name: string): boolean =>
  worker.model === name || modelsOf(worker).includes(name);
