import { Random } from '../../test/harness/random.js';
import type { Mishap, Reporting, Scenario, SimulatedWorker } from './simulate.js';
import { generatedRequests, replayed, type SimulatedRequest, type TracedRequest } from './traffic.js';

/** As vLLM was seen to report: seconds late, nothing for a while after a start, and no tokens of what waits. */
export const lateReporting: Reporting = { lagMs: [3000, 6000], coldMs: 18_000, waitingTokens: false };
/** As SGLang reports: what is so now, with the tokens that wait. */
export const promptReporting: Reporting = { lagMs: [0, 0], coldMs: 0, waitingTokens: true };

export interface Fleet {
  readonly name: string;
  readonly workers: readonly SimulatedWorker[];
  /** All requests, those of others among them. */
  readonly perSecond: number;
  readonly seconds: number;
  /** Share of the requests that others send, to the first so many workers. */
  readonly foreign: { readonly share: number; readonly workers: number } | null;
  readonly mishap: Mishap | null;
}

const fast: SimulatedWorker = { gpuName: 'fast', slowness: 1 };
const slow: SimulatedWorker = { gpuName: 'slow', slowness: 2 };
const eight = Array.from({ length: 8 }, () => fast);
const plain = { workers: eight, seconds: 480, foreign: null, mishap: null };

export const fleets = {
  equal: { ...plain, name: 'equal', perSecond: 40 },
  mixed: {
    ...plain,
    name: 'mixed',
    workers: [fast, slow, fast, slow, fast, slow, fast, slow],
    perSecond: 26,
    seconds: 740,
  },
  foreign: { ...plain, name: 'foreign', perSecond: 32, seconds: 600, foreign: { share: 0.45, workers: 3 } },
  long: { ...plain, name: 'long prompts', perSecond: 3.1, seconds: 1200 },
  stalled: { ...plain, name: 'one stalled', perSecond: 30, mishap: { kind: 'stall', worker: 2, atMs: 150_000 } },
  restarting: {
    ...plain,
    name: 'one restarting',
    perSecond: 30,
    mishap: { kind: 'restart', worker: 2, atMs: 150_000 },
  },
} as const satisfies Record<string, Fleet>;

export function scenarioOf(
  { workers, perSecond, seconds, foreign, mishap }: Fleet,
  seed: number,
  reporting: Reporting,
  trace: readonly TracedRequest[] | null,
): Scenario {
  const traced = trace ? replayed(trace, seed, perSecond, seconds) : generatedRequests(seed, perSecond, seconds);
  const random = new Random(seed ^ 0xf0e1);
  const requests = traced.map((request, id): SimulatedRequest => {
    const isForeign = foreign !== null && random.chance(foreign.share);
    return { ...request, id, foreignTo: isForeign ? random.whole(0, foreign.workers - 1) : null };
  });
  return { workers, requests, reporting, mishap, seed };
}
