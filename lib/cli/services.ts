import type { HiveOptions, QueenOptions, Running } from '../options.js';

/** What the daemons are made of, loaded only by the command that needs it: `--help` must not wait for a web server. */
export interface Services {
  startHive(options: HiveOptions): Promise<Running>;
  startQueen(options: QueenOptions): Promise<Running>;
  startUp(options: { readonly queen?: QueenOptions; readonly hive?: HiveOptions }): Promise<Running>;
}

const modules: Readonly<Record<keyof Services, string>> = {
  startHive: '../hive/hive.js',
  startQueen: '../queen/queen.js',
  startUp: '../up.js',
};

export async function load<K extends keyof Services>(name: K): Promise<Services[K]> {
  const module: Services = await import(modules[name]);
  return module[name];
}
