/** What `hot.ts` measures. */
export const hotNames = [
  'collection_100_workers native',
  'collection_100_workers TypeScript',
  'native_vs_readfilesync readFileSync',
  'tick_100_workers sample',
  'heartbeat take in 8 workers',
  'heartbeat take in 100 workers',
  'ingest_8 over HTTP',
  'query of a model and a state',
] as const;
export type HotName = (typeof hotNames)[number];
