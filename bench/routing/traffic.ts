import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../test/harness/random.js';

export interface SimulatedRequest {
  readonly id: number;
  readonly atMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Hashes of its blocks of 512 tokens, where the trace has them. */
  readonly blocks: readonly number[] | null;
  /** The worker it goes to without being routed by us; null: we route it. */
  readonly foreignTo: number | null;
}

/** What a trace says of one request, at the trace's own pace. */
export interface TracedRequest {
  readonly atMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly blocks: readonly number[] | null;
}

export const traceNames = ['azure_conv', 'azure_code', 'mooncake_conv'] as const;
export type TraceName = (typeof traceNames)[number];

/** A trace in arrival order; null where it is not there. */
export function readTrace(directory: string, name: TraceName): readonly TracedRequest[] | null {
  const file = join(directory, name === 'mooncake_conv' ? `${name}.jsonl` : `${name}.csv`);
  if (!existsSync(file)) return null;
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const requests = name === 'mooncake_conv' ? lines.map(mooncakeLine) : lines.slice(1).map(azureLine);
  requests.sort((a, b) => a.atMs - b.atMs);
  const firstMs = requests[0]?.atMs ?? 0;
  return requests.map((request) => ({ ...request, atMs: request.atMs - firstMs }));
}

function azureLine(line: string): TracedRequest {
  const [time, prompt, output] = line.split(',') as [string, string, string];
  // Seven digits of a second; Date takes three.
  const atMs = Date.parse(`${time.slice(0, 19).replace(' ', 'T')}Z`) + 1000 * Number(`0${time.slice(19)}`);
  return { atMs, promptTokens: Math.max(1, Number(prompt)), outputTokens: Math.max(1, Number(output)), blocks: null };
}

function mooncakeLine(line: string): TracedRequest {
  const { timestamp, input_length, output_length, hash_ids } = JSON.parse(line) as Record<string, unknown>;
  return {
    atMs: timestamp as number,
    promptTokens: Math.max(1, input_length as number),
    outputTokens: Math.max(1, output_length as number),
    blocks: hash_ids as number[],
  };
}

/** Normal with mean 0 and deviation 1 (Box-Muller). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

const exponential = (random: Random, mean: number): number => -mean * Math.log(1 - random.next());

/**
 * Chat traffic with the moments of the Azure conversation trace: prompts of 1020 tokens at the median and 4142 at the 99th
 * percentile, answers of 129 and 800, arrivals whose rate wanders by a fifth from minute to minute.
 */
export function generatedRequests(seed: number, perSecond: number, seconds: number): readonly TracedRequest[] {
  const random = new Random(seed);
  const requests: TracedRequest[] = [];
  let rate = perSecond;
  let rateUntilMs = 0;
  for (let atMs = 0; atMs < seconds * 1000; ) {
    if (atMs >= rateUntilMs) {
      rate = perSecond * Math.exp(0.2 * normal(random) - 0.02);
      rateUntilMs = atMs + 10_000;
    }
    atMs += exponential(random, 1000 / rate);
    const promptTokens = Math.round(Math.min(14_000, 1020 * Math.exp(0.6 * normal(random))));
    const outputTokens = Math.round(Math.min(1000, 129 * Math.exp(0.78 * normal(random))));
    requests.push({
      atMs,
      promptTokens: Math.max(1, promptTokens),
      outputTokens: Math.max(1, outputTokens),
      blocks: null,
    });
  }
  return requests;
}

/** A trace at another pace, begun at a place that the seed draws, round the end and on from the start. */
export function replayed(
  trace: readonly TracedRequest[],
  seed: number,
  perSecond: number,
  seconds: number,
): readonly TracedRequest[] {
  const random = new Random(seed);
  const spanMs = trace.at(-1)!.atMs + 1;
  const pace = (perSecond * spanMs) / 1000 / trace.length;
  const startMs = random.next() * spanMs;
  const endMs = seconds * 1000;
  const requests = trace
    .map((request) => ({ ...request, atMs: ((request.atMs - startMs + spanMs) % spanMs) / pace }))
    .filter(({ atMs }) => atMs < endMs);
  return requests.sort((a, b) => a.atMs - b.atMs);
}
