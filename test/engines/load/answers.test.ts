import { describe, expect, it } from 'vitest';
import { readProps, readSlots } from '../../../lib/engines/load/llama-server.js';
import { readLmdeploy } from '../../../lib/engines/load/lmdeploy.js';
import { counts, mergeReadings, sumReadings } from '../../../lib/engines/load/merge.js';
import { readPs } from '../../../lib/engines/load/ollama.js';
import {
  amount,
  count,
  flagOf,
  itemsOf,
  jsonOf,
  type LoadReading,
  maxEntries,
  nameOf,
  noCounters,
  nothing,
  percentOf,
  progressOf,
  type ReadLoad,
  readModels,
  readVersion,
  versionOf,
} from '../../../lib/engines/load/reading.js';
import { readGetLoad, readLoads, readSglangMetrics } from '../../../lib/engines/load/sglang.js';
import { loadSources } from '../../../lib/engines/load/table.js';
import { readTensorrtLlm } from '../../../lib/engines/load/tensorrt-llm.js';
import { readTextEmbeddings } from '../../../lib/engines/load/text-embeddings.js';
import { readTextGeneration } from '../../../lib/engines/load/text-generation.js';
import { readTriton } from '../../../lib/engines/load/tritonserver.js';
import { readVllm } from '../../../lib/engines/load/vllm.js';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const page = (...lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\n')}\n`);

describe('a figure in an answer', () => {
  it.each([
    [0, 0, 0],
    [2.6, 3, 2.6],
    [-1, null, null],
    [Number.NaN, null, null],
    [Number.POSITIVE_INFINITY, null, null],
    ['3', null, null],
    [true, null, null],
    [null, null, null],
    [undefined, null, null],
  ])('%j is the count %j and the amount %j', (value, asCount, asAmount) => {
    expect([count(value), amount(value)]).toEqual([asCount, asAmount]);
  });

  it('is a share from 0 to 1, with room for how it was rounded', () => {
    const shares = [0, 0.31256, 1, 1.0001, 1.0002, -0.1, '0.5', Number.NaN];
    expect(shares.map(percentOf)).toEqual([0, 31.26, 100, 100, null, null, null, null]);
  });

  it('is a flag only where it says true or false', () => {
    expect([true, false, 0, 'true', null].map(flagOf)).toEqual([true, false, null, null, null]);
  });

  it('is a name of up to 512 characters without a control character, a version of up to 64', () => {
    expect(['a', 'a'.repeat(512), 'a'.repeat(513), '', 'a\nb', 7].map((value) => nameOf(value)?.length)).toEqual([
      1,
      512,
      ...Array(4).fill(undefined),
    ]);
    expect(['1.2', '1'.repeat(64), '1'.repeat(65), null].map((value) => versionOf(value)?.length)).toEqual([
      3,
      64,
      undefined,
      undefined,
    ]);
    expect(readVersion(json({ version: '0.9.1' }))).toEqual({ ...nothing, version: '0.9.1' });
    expect(readVersion(json({ version: 9 }))).toBeNull();
  });

  it('is a list of 4096 items at most', () => {
    expect(itemsOf(Array(maxEntries).fill(0))).toHaveLength(maxEntries);
    expect(itemsOf(Array(maxEntries + 1).fill(0))).toEqual([]);
    expect(itemsOf({ length: 1 })).toEqual([]);
  });

  it('is progress where any of the counters is known', () => {
    expect(progressOf(null, null)).toBeNull();
    expect(progressOf(null, 3)).not.toBe(progressOf(null, 4));
  });
});

describe('an answer in JSON', () => {
  const nested = (depth: number, open = '[', shut = ']') => open.repeat(depth) + shut.repeat(depth);

  it('is parsed up to half a mebibyte and 32 levels', () => {
    expect(jsonOf(Buffer.from(nested(32)))).toHaveLength(1);
    expect(jsonOf(Buffer.from(nested(33)))).toBeUndefined();
    const objects = (depth: number) => Buffer.from(`${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`);
    expect(jsonOf(objects(32))).toBeDefined();
    expect(jsonOf(objects(33))).toBeUndefined();
    expect(jsonOf(json('x'.repeat(512 * 1024 - 2)))).toHaveLength(512 * 1024 - 2);
    expect(jsonOf(json('x'.repeat(512 * 1024 - 1)))).toBeUndefined();
    expect(jsonOf(Buffer.from('{'))).toBeUndefined();
  });

  it('is as deep as it is nested, however many lists and objects stand beside each other', () => {
    const beside = { lists: Array(100).fill([]), objects: Array(100).fill({ a: {} }) };
    expect(jsonOf(json(beside))).toEqual(beside);
  });

  it('brackets in its texts, quotes in them among those, count for nothing', () => {
    for (const value of ['[{'.repeat(50), `"${'['.repeat(50)}`, `\\"${'{'.repeat(50)}`, '\\'])
      expect(jsonOf(json([value, [value]]))).toEqual([value, [value]]);
    // And those behind such a text count again.
    expect(jsonOf(Buffer.from(`["\\\\",${nested(33)}]`))).toBeUndefined();
    expect(jsonOf(Buffer.from(`["]]]]",${nested(32)}]`))).toBeUndefined();
  });
});

describe('vLLM', () => {
  const running = 'vllm:num_requests_running{engine="0",model_name="m"} 1';
  const read = (...lines: readonly string[]) => readVllm(page(running, ...lines));

  it('sleeps where none of its ranks is awake', () => {
    const awake = (engine: number, value: number) =>
      `vllm:engine_sleep_state{engine="${engine}",sleep_state="awake"} ${value}`;
    expect(read(awake(0, 0), awake(1, 0))?.sleeping).toBe(true);
    expect(read(awake(0, 0), awake(1, 1))?.sleeping).toBe(false);
    expect(read('vllm:engine_sleep_state{engine="0",sleep_state="weights_offloaded"} 1')?.sleeping).toBeNull();
  });

  it('its adapters are those that run or wait by the newest sample, the later one of two of the same time', () => {
    const info = (labels: string, at: number) => `vllm:lora_requests_info{${labels}} ${at}`;
    expect(
      read(
        info('running_lora_adapters="old"', 5),
        info('running_lora_adapters="a, b",waiting_lora_adapters="c"', 9),
        info('running_lora_adapters="older"', 4),
      )?.adapters,
    ).toEqual(['a', 'b', 'c']);
    expect(read(info('running_lora_adapters="a"', 5), info('running_lora_adapters="b"', 5))?.adapters).toEqual(['b']);
    expect(read(info('running_lora_adapters="a"', 5))?.adapters).toEqual(['a']);
  });

  it('its prefix cache goes by its name of before where there is no other', () => {
    expect(
      read('vllm:gpu_prefix_cache_queries_total 10', 'vllm:gpu_prefix_cache_hits_total 4')?.counters,
    ).toMatchObject({ prefixQueries: 10, prefixHits: 4 });
  });
});

describe('SGLang', () => {
  const rank = (fields: object) => ({ num_running_reqs: 1, num_waiting_reqs: 0, ...fields });
  const loads = (...ranks: readonly object[]) => readLoads(json({ version: '0.5', loads: ranks }));

  it('waiting tokens: what is not cached where it says so, else all less those in use, never less than none', () => {
    const total = { num_total_tokens: 100, num_used_tokens: 30 };
    expect(loads(rank({ ...total, num_waiting_uncached_tokens: 7 }))?.waitingTokens).toBe(7);
    expect(loads(rank(total))?.waitingTokens).toBe(70);
    expect(loads(rank({ ...total, num_used_tokens: 130 }))?.waitingTokens).toBe(0);
    expect(loads(rank({ num_total_tokens: 100 }))?.waitingTokens).toBeNull();
    expect(loads(rank({ num_used_tokens: 30 }))?.waitingTokens).toBeNull();
    expect(loads(rank(total), rank({}))?.waitingTokens).toBeNull();
  });

  it('its cache is as full as that of its fullest rank, of those that say it', () => {
    expect(loads(rank({ token_usage: 0.5 }), rank({ token_usage: 0.25 }), rank({}))?.kvPercent).toBe(50);
    expect(loads(rank({}))?.kvPercent).toBeNull();
    expect(loads()).toBeNull();
  });

  it('its progress moves with the tokens in use, those a second, and those that run', () => {
    const before = { num_used_tokens: 10, gen_throughput: 5 };
    const readings = [{}, { num_used_tokens: 11 }, { gen_throughput: 6 }, { num_running_reqs: 2 }];
    expect(new Set(readings.map((change) => loads(rank({ ...before, ...change }))?.progress)).size).toBe(4);
  });

  it('/get_load: one load or a list of them, those that wait taken off those that run', () => {
    const load = { num_reqs: 5, num_waiting_reqs: 2, num_tokens: 40 };
    expect(readGetLoad(json(load))).toMatchObject({ running: 3, waiting: 2, ranks: 1 });
    expect(readGetLoad(json([load, load]))).toMatchObject({ running: 6, waiting: 4, ranks: 2 });
    expect(readGetLoad(json({ num_reqs: 1, num_waiting_reqs: 2 }))?.running).toBe(0);
    expect(readGetLoad(json({ num_reqs: 1 }))).toBeNull();
    expect(readGetLoad(json({ num_waiting_reqs: 1 }))).toBeNull();
    expect(readGetLoad(json({ ...load, num_tokens: 41 }))?.progress).not.toBe(readGetLoad(json(load))?.progress);
  });

  it('its page: each model once, ranks without a number as one, progress by tokens in use as well', () => {
    const lines = ['sglang:num_running_reqs{model_name="m"} 2', 'sglang:num_running_reqs{model_name="m"} 2'];
    expect(readSglangMetrics(page(...lines))).toMatchObject({ models: ['m'], running: 2, ranks: 1, progress: null });
    const used = (tokens: number) =>
      readSglangMetrics(page(...lines, `sglang:num_used_tokens{model_name="m"} ${tokens}`))?.progress;
    expect(used(5)).not.toBe(used(6));
  });
});

describe('llama-server', () => {
  const slot = (id: number | null, fields: object = {}) => ({ id, id_task: 1, is_processing: false, ...fields });

  it('/slots: a list of slots that each have a number', () => {
    expect(readSlots(json([slot(0), slot(1)]))?.capacity).toBe(2);
    for (const answer of [[], [slot(null)], [slot(0), slot(null)], {}, Array(maxEntries + 1).fill(slot(0))])
      expect(readSlots(json(answer))).toBeNull();
    expect(readSlots(json(Array.from({ length: maxEntries }, () => ({ id: 0 }))))?.capacity).toBe(maxEntries);
    expect(readSlots(json([slot(0, { n_ctx: 0 })]))?.maxContext).toBeNull();
  });

  it('/slots: its progress moves with tasks, tokens and what is computed', () => {
    const of = (fields: object) => readSlots(json([slot(0, fields)]))?.progress;
    const changes = [{}, { id_task: 2 }, { next_token: { n_decoded: 3 } }, { is_processing: true }];
    expect(new Set(changes.map(of)).size).toBe(4);
  });

  it('/props: whether it sleeps, where it says so', () => {
    expect(readProps(json({ total_slots: 1, is_sleeping: true }))?.sleeping).toBe(true);
    expect(readProps(json({ total_slots: 1 }))?.sleeping).toBeNull();
  });

  it('/v1/models: the names of its models', () => {
    const read = loadSources['llama-server']?.questions[2]?.ways[0]?.read as ReadLoad;
    expect(read(json({ data: [{ id: 'alias' }] }))).toEqual({ ...nothing, models: ['alias'] });
    expect(read(json({ data: [] }))).toBeNull();
  });
});

describe('other engines', () => {
  it('LMDeploy: without its own queue what its server holds back waits; names of models', () => {
    const running = 'lmdeploy:num_requests_running{model_name="m"} 1';
    const heldBack = 'lmdeploy:num_api_requests_waiting{model_name="m"} 3';
    expect(readLmdeploy(page(running, heldBack))).toMatchObject({ waiting: 3, models: ['m'], ranks: 1 });
    expect(readLmdeploy(page(running))?.waiting).toBeNull();
    expect(readLmdeploy(page(running, 'lmdeploy:num_requests_waiting 2'))?.waiting).toBe(2);
  });

  it('trtllm-serve: what runs or its cache is enough, and each names the model', () => {
    const runs = 'trtllm_num_requests_running{model_name="m"} 2';
    const cache = 'trtllm_kv_cache_utilization{model_name="n"} 0.5';
    expect(readTensorrtLlm(page(runs))).toMatchObject({ running: 2, kvPercent: null, models: ['m'] });
    expect(readTensorrtLlm(page(cache))).toMatchObject({ running: null, kvPercent: 50, models: ['n'] });
    const ended = (n: number) => readTensorrtLlm(page(runs, `trtllm_request_success_total ${n}`))?.progress;
    expect(ended(1)).not.toBe(ended(2));
  });

  it('TGI: what runs or what waits is enough; its progress moves with each step of a batch', () => {
    expect(readTextGeneration(page('tgi_queue_size 4'))).toMatchObject({ running: null, waiting: 4 });
    expect(readTextGeneration(page('tgi_batch_current_size 4'))).toMatchObject({ running: 4, waiting: null });
    const steps = (n: number) =>
      readTextGeneration(page('tgi_queue_size 0', `tgi_batch_inference_count ${n}`))?.progress;
    expect(steps(1)).not.toBe(steps(2));
  });

  it('TEI: its progress moves with requests that come and that end', () => {
    const progress = (...lines: readonly string[]) => readTextEmbeddings(page('te_queue_size 0', ...lines))?.progress;
    expect(progress('te_request_count 1')).not.toBe(progress('te_request_count 2'));
    expect(progress('te_request_success 1')).not.toBe(progress('te_request_success 2'));
  });

  it('Triton: the active where it does not say the scheduled, the fullest cache, and its iterations as progress', () => {
    const requests = 'nv_trt_llm_request_metrics{model="m",request_type="active"} 4';
    const fraction = (model: string, value: number) =>
      `nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="${model}"} ${value}`;
    expect(readTriton(page(requests, fraction('m', 0.75), fraction('n', 0.5)))).toMatchObject({
      ...{ running: 4, waiting: null, kvPercent: 75, progress: null },
    });
    const iterations = (n: number, type = 'iteration_counter') =>
      readTriton(page(requests, `nv_trt_llm_general_metrics{general_type="${type}",model="m"} ${n}`))?.progress;
    expect(iterations(1)).not.toBe(iterations(2));
    expect(iterations(1, 'timestamp')).toBe(iterations(2, 'timestamp'));
  });

  it('Ollama: the longest context of what is loaded is not known where a model does not say it', () => {
    expect(readPs(json({ models: [{ name: 'm' }] }))).toMatchObject({ models: ['m'], maxContext: null });
    expect(readPs(json({}))).toBeNull();
  });

  it('/v1/models: the context of the first that says one', () => {
    const models = (...data: readonly object[]) => readModels(json({ data }));
    expect(models({ id: 'a' }, { id: 'b', max_model_len: 512 })?.maxContext).toBe(512);
    expect(models({ id: 'a', max_model_len: 0 })?.maxContext).toBeNull();
    expect(models()).toBeNull();
  });
});

describe('several answers', () => {
  const reading = (fields: Partial<LoadReading>): LoadReading => ({ ...nothing, ...fields });
  const counters = { ...noCounters, promptTokens: 5 };

  it('of one server: each figure of the first that has it, and the counters of one that counts', () => {
    expect(mergeReadings([])).toEqual(nothing);
    const first = reading({ running: 1 });
    expect(mergeReadings([first])).toBe(first);
    const merged = mergeReadings([first, reading({ running: 2, version: 'v', counters }), reading({ version: 'w' })]);
    expect(merged).toEqual(reading({ running: 1, version: 'v', counters }));
    expect(mergeReadings([first, first])).toEqual(first);
    // Counters of one that counts, though the first comes before it and has an object for them too.
    expect(mergeReadings([reading({ progress: 'p' }), reading({ counters })])).toEqual(
      reading({ progress: 'p', counters }),
    );
    expect(mergeReadings([reading({ running: 0 }), reading({ running: 2 })]).running).toBe(0);
  });

  it('count where any counter is there, at 0 too', () => {
    for (const name of Object.keys(noCounters))
      expect(counts(reading({ counters: { ...noCounters, [name]: 0 } })), name).toBe(true);
    expect(counts(nothing)).toBe(false);
  });

  it('of several servers: the sum where all have answered and say it, and no other figure', () => {
    const one = reading({ running: 1, waiting: 2, capacity: 4, progress: 'a', version: 'v', counters });
    const other = reading({ running: 10, waiting: 20, capacity: 40, progress: 'b' });
    expect(sumReadings([one, other])).toEqual(
      reading({ running: 11, waiting: 22, capacity: 44, progress: expect.any(String) as never }),
    );
    expect(sumReadings([one, other])?.progress).not.toBe(sumReadings([one, { ...other, progress: 'c' }])?.progress);
    expect(sumReadings([])).toBeNull();
    expect(sumReadings([one, null])).toBeNull();
    expect(sumReadings([one, reading({ running: 1 })])).toEqual(reading({ running: 2 }));
  });
});
