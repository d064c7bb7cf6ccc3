/** What `hot.ts` measures. */
export const hotNames = [
  'collection_100_workers native',
  'collection_100_workers TypeScript',
  'native_vs_readfilesync readFileSync',
  'tick_100_workers sample',
  'heartbeat take in 8 workers',
  'heartbeat take in 100 workers',
  'ingest_8 over HTTP',
  'sse to 20 subscribers',
  'query of a model and a state',
] as const;
export type HotName = (typeof hotNames)[number];

/** What `hot.ts` does to both readers when it is asked to: reads each file once more, or takes twice as long. */
export const plants = ['extra-read', 'slow-loop'] as const;
export type Plant = (typeof plants)[number];
