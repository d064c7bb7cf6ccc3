import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readLlamaMetrics, readProps, readSlots } from '../../../lib/engines/load/llama-server.js';
import { readHealth, readLmdeploy } from '../../../lib/engines/load/lmdeploy.js';
import { readPs } from '../../../lib/engines/load/ollama.js';
import { type LoadReading, nothing, type ReadLoad, readModels } from '../../../lib/engines/load/reading.js';
import { readGetLoad, readLoads, readSglangMetrics } from '../../../lib/engines/load/sglang.js';
import { loadSources } from '../../../lib/engines/load/table.js';
import { readTensorrtLlm } from '../../../lib/engines/load/tensorrt-llm.js';
import { readTextEmbeddings } from '../../../lib/engines/load/text-embeddings.js';
import { readInfo, readTextGeneration } from '../../../lib/engines/load/text-generation.js';
import { readTriton } from '../../../lib/engines/load/tritonserver.js';
import { readVllm } from '../../../lib/engines/load/vllm.js';
import * as pages from '../../fakes/engines/pages.js';

const moment: pages.Moment = {
  ...pages.quiet,
  running: 37,
  waiting: 12,
  deferred: 3,
  kv: 0.3125,
  promptTokens: 123_456,
  generationTokens: 7890,
  prefixQueries: 1000,
  prefixHits: 250,
  steps: 4711,
};
const text = (page: string | unknown): Buffer => Buffer.from(typeof page === 'string' ? page : JSON.stringify(page));
const countersOf = ({ counters }: LoadReading) => counters;
const tokens = { promptTokens: 123_456, generationTokens: 7890 };

describe('what an engine says of its load', () => {
  it('vLLM V0: one rank, older names', () => {
    const reading = readVllm(text(pages.vllmV0(moment))) as LoadReading;
    expect(reading).toMatchObject({
      ...{ running: 37, waiting: 12, kvPercent: 31.25, prefixHitPercent: 25, ranks: 1, sleeping: null },
      ...{ models: [moment.model], adapters: null },
    });
    expect(countersOf(reading)).toEqual({ ...tokens, prefixQueries: null, prefixHits: null });
    // Before anything was looked up its rate is -1.
    expect(readVllm(text(pages.vllmV0(pages.quiet)))?.prefixHitPercent).toBeNull();
  });

  it('vLLM V1: the sum of its ranks, the fullest cache, and of those that wait only those for capacity', () => {
    const reading = readVllm(text(pages.vllmV1({ ...moment, ranks: 3, adapters: ['sql', 'fr'] }))) as LoadReading;
    expect(reading).toMatchObject({
      ...{ running: 37, waiting: 9, kvPercent: 31.25, prefixHitPercent: null, ranks: 3, sleeping: false },
      ...{ models: [moment.model], adapters: ['sql', 'fr'] },
    });
    expect(countersOf(reading)).toEqual({ ...tokens, prefixQueries: 1000, prefixHits: 250 });
    expect(readVllm(text(pages.vllmV1({ ...moment, sleeping: true })))?.sleeping).toBe(true);
  });

  it('vLLM: its progress moves with each step, and with nothing else', () => {
    const progress = (m: pages.Moment) => readVllm(text(pages.vllmV1(m)))?.progress;
    expect(progress({ ...moment, steps: 4712 })).not.toBe(progress(moment));
    expect(progress({ ...moment, waiting: 99, kv: 0.9, prefixHits: 251 })).toBe(progress(moment));
  });

  it.each([
    [
      'model_name of the base',
      {
        data: [
          { id: 'base', max_model_len: 32_768 },
          { id: 'sql', parent: 'base' },
        ],
      },
    ],
    [
      'its own among others',
      {
        data: [
          { id: 'base', parent: null, max_model_len: 32_768 },
          { id: 'sql', parent: 'base' },
        ],
      },
    ],
  ])('/v1/models: %s', (_what, answer) => {
    expect(readModels(text(answer))).toMatchObject({ models: ['base'], adapters: ['sql'], maxContext: 32_768 });
  });

  it('SGLang: ranks of one tensor-parallel group say the same and count once', () => {
    const page = pages.sglangMetrics({ ...moment, ranks: 2 }, true, 4);
    const reading = readSglangMetrics(text(page)) as LoadReading;
    expect(reading).toMatchObject({ running: 37, waiting: 12, kvPercent: 31.25, prefixHitPercent: 25, ranks: 2 });
    expect(countersOf(reading)).toMatchObject(tokens);
    expect(readSglangMetrics(text(pages.sglangMetrics(moment, false)))).toMatchObject({ running: 37, ranks: 1 });
  });

  it('SGLang: loads say the waiting tokens, in both ways', () => {
    for (const uncached of [false, true])
      expect(readLoads(text(pages.sglangLoads({ ...moment, ranks: 2 }, 9000, uncached)))).toMatchObject({
        ...{ running: 37, waiting: 12, waitingTokens: 9000, kvPercent: 31.25, prefixHitPercent: 25, ranks: 2 },
        ...{ generationTokensPerSecond: 101, capacity: 512, version: uncached ? '0.5.9' : '0.5.6' },
      });
    expect(readGetLoad(text(pages.sglangGetLoad(moment)))).toMatchObject({ running: 37, waiting: 12, ranks: 1 });
  });
});

describe('what other engines say of it', () => {
  it('llama-server: counters and gauges of now, quoted or not', () => {
    for (const newer of [false, true])
      for (const quoted of [false, true]) {
        const page = pages.llamaMetrics(moment, newer);
        const reading = readLlamaMetrics(text(quoted ? JSON.stringify(page) : page)) as LoadReading;
        expect(reading).toMatchObject({ running: 37, waiting: 12, kvPercent: null, generationTokensPerSecond: null });
        expect(countersOf(reading)).toMatchObject(tokens);
      }
  });

  it('llama-server: of slots and properties no prompt, parameter or template is kept', () => {
    for (const newer of [false, true]) {
      const reading = readSlots(text(pages.llamaSlots({ ...moment, running: 3 }, newer))) as LoadReading;
      expect(reading).toMatchObject({ running: 3, waiting: null, capacity: 4, maxContext: 4096 });
      expect(JSON.stringify(reading)).not.toContain('SECRET');
      const later = readSlots(text(pages.llamaSlots({ ...moment, running: 3, steps: 4712 }, newer)));
      expect(later?.progress).not.toBe(reading.progress);
    }
    const properties = readProps(text(pages.llamaProps()));
    expect(properties).toMatchObject({ capacity: 4, version: 'b7000-0a1b2c3d', maxContext: 4096, sleeping: null });
    expect(JSON.stringify(properties)).not.toContain('SECRET');
  });

  it('TGI, TEI: what waits; TGI: what is computed too', () => {
    for (const newer of [false, true]) {
      const reading = readTextGeneration(text(pages.textGeneration(moment, newer))) as LoadReading;
      expect(reading).toMatchObject({ running: 37, waiting: 12, kvPercent: null });
      expect(countersOf(reading)).toMatchObject(tokens);
    }
    expect(readTextEmbeddings(text(pages.textEmbeddings(moment)))).toMatchObject({ running: null, waiting: 12 });
    expect(readInfo(text(pages.textGenerationInfo(moment, '3.3.0')))).toMatchObject({
      ...{ version: '3.3.0', models: [moment.model], maxContext: 4096 },
    });
    expect(readInfo(text(pages.textEmbeddingsInfo(moment, '1.8.3')))).toMatchObject({ maxContext: 512 });
  });

  it('trtllm-serve and Triton', () => {
    expect(readTensorrtLlm(text(pages.tensorrtLlm(moment, true)))).toMatchObject({
      ...{ running: 37, waiting: 12, kvPercent: 31.25, prefixHitPercent: 25, models: [moment.model] },
    });
    expect(readTensorrtLlm(text(pages.tensorrtLlm(moment, false)))).toMatchObject({ running: null, kvPercent: 31.25 });
    expect(readTriton(text(pages.triton(moment, true)))).toMatchObject({
      ...{ running: 37, waiting: 12, capacity: 512, kvPercent: 31.25, models: ['tensorrt_llm'] },
    });
    expect(readTriton(text(pages.triton(moment, false)))).toMatchObject({ running: 37, waiting: null });
  });

  it('LMDeploy: what its server holds back waits too', () => {
    for (const newer of [false, true])
      expect(readLmdeploy(text(pages.lmdeploy({ ...moment, ranks: 2 }, newer)))).toMatchObject({
        ...{ running: 37, waiting: 12, kvPercent: 31.25, prefixHitPercent: newer ? 25 : null, ranks: 2 },
        counters: tokens,
      });
    expect(readHealth(text({ status: 'sleeping' }))?.sleeping).toBe(true);
    expect(readHealth(text({ status: 'healthy' }))?.sleeping).toBe(false);
  });

  it('Ollama: what is loaded; without a model nothing runs', () => {
    const models = [{ name: 'qwen3:8b', model: 'qwen3:8b', size: 1, size_vram: 1, context_length: 8192 }];
    expect(readPs(text({ models }))).toMatchObject({ models: ['qwen3:8b'], maxContext: 8192, running: null });
    expect(readPs(text({ models: [] }))).toMatchObject({ models: [], maxContext: null, running: 0 });
  });
});

const readers: readonly (readonly [string, ReadLoad])[] = Object.entries(loadSources).flatMap(([engine, source]) =>
  (source?.questions ?? []).flatMap(({ ways }) => ways.map(({ path, read }) => [`${engine} ${path}`, read] as const)),
);
const names = [
  ...'vllm:num_requests_running vllm:prompt_tokens_total vllm:lora_requests_info sglang:num_running_reqs'.split(' '),
  ...'llamacpp:requests_processing tgi_queue_size te_queue_size trtllm_num_requests_running'.split(' '),
  ...'nv_trt_llm_request_metrics lmdeploy:num_requests_running vllm:kv_cache_usage_perc'.split(' '),
];
const hostilePage = fc
  .array(
    fc.tuple(
      fc.constantFrom(...names),
      fc.constantFrom(
        '',
        '{engine="1"}',
        '{reason="capacity"',
        '{model_name="\\u0000"}',
        `{model_name="${'x'.repeat(999)}"}`,
      ),
      fc.oneof(fc.constantFrom('-1', 'NaN', '1e308', '1e309', '', '-0', '0x10'), fc.double().map(String)),
    ),
    { maxLength: 30 },
  )
  .map((lines) => Buffer.from(lines.map(([name, labels, value]) => `${name}${labels} ${value}`).join('\n')));
const key = fc.constantFrom(
  ...'models data loads id name n_ctx id_task next_token n_decoded is_processing total_slots version status'.split(' '),
  ...'num_running_reqs num_reqs num_waiting_reqs token_usage context_length model_id __proto__ is_sleeping'.split(' '),
);
const hostileJson = fc
  .letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, -1, 1e308, 'x', '\u0000', ''),
      fc.double(),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(key, tie('value'), { maxKeys: 5 }),
    ),
  }))
  .value.map((value) => Buffer.from(JSON.stringify(value) ?? 'undefined'));

/** Each figure is null, or what a figure can be. */
function hold(reading: LoadReading): void {
  const { models, adapters, version, sleeping, progress, counters, kvPercent, prefixHitPercent, ...numbers } = reading;
  for (const number of [...Object.values(numbers), ...Object.values(counters)])
    if (number !== null) expect(Number.isFinite(number) && number >= 0, JSON.stringify(reading)).toBe(true);
  for (const percent of [kvPercent, prefixHitPercent])
    if (percent !== null) expect(percent >= 0 && percent <= 100).toBe(true);
  for (const name of [...(models ?? []), ...(adapters ?? [])]) expect(name).toMatch(/^\P{Cc}{1,512}$/u);
  if (version !== null) expect(version.length).toBeLessThanOrEqual(64);
  expect([true, false, null]).toContain(sleeping);
  expect(progress === null || typeof progress === 'string').toBe(true);
}

describe('an answer that is none of an engine', () => {
  it.each(readers)('%s: gives null, or figures that can be', (_what, read) => {
    fc.assert(
      fc.property(
        fc.oneof(
          hostilePage,
          hostileJson,
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        ),
        (body) => {
          const reading = read(body);
          if (reading !== null) hold(reading);
        },
      ),
      { numRuns: 150 },
    );
    expect(read(Buffer.from('<html>404</html>'))).toBeNull();
    expect(read(Buffer.alloc(0))).toBeNull();
  });

  it('keeps what stands in the texts of an answer apart from its brackets', () => {
    const brackets = '[{"\\'.repeat(100);
    const slots = (pages.llamaSlots(moment, true) as object[]).map((slot) => ({ ...slot, prompt: brackets }));
    expect(readSlots(text(slots))?.capacity).toBe(4);
  });

  it('has every key that a reading has', () => {
    expect(Object.keys(readVllm(text(pages.vllmV1(moment))) ?? {}).sort()).toEqual(Object.keys(nothing).sort());
  });
});
