import { type ModelNames, modelsOf } from '../contract/models.js';

/** How many more names a model has than the one that is shown: ` +2`, or nothing. */
export function moreModels(worker: ModelNames): string {
  const more = modelsOf(worker).length - 1;
  return more > 0 ? ` +${more}` : '';
}
