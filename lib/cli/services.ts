import type { HiveOptions, QueenOptions, Running } from '../options.js';

export interface UpModule {
  startUp(options: { readonly queen?: QueenOptions; readonly hive?: HiveOptions }): Promise<Running>;
}
