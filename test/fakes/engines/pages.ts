/** The text that engines answer with, by version, made from what they document. Counts are those of one moment. */
export interface Moment {
  readonly model: string;
  readonly running: number;
  readonly waiting: number;
  /** vLLM: put off by its own policy, among the waiting. */
  readonly deferred: number;
  /** Of 1. */
  readonly kv: number;
  readonly promptTokens: number;
  readonly generationTokens: number;
  readonly prefixQueries: number;
  readonly prefixHits: number;
  readonly steps: number;
  readonly sleeping: boolean;
  readonly adapters: readonly string[];
  readonly ranks: number;
}

export const quiet: Moment = {
  model: 'Qwen/Qwen2.5-0.5B-Instruct',
  running: 0,
  waiting: 0,
  deferred: 0,
  kv: 0,
  promptTokens: 0,
  generationTokens: 0,
  prefixQueries: 0,
  prefixHits: 0,
  steps: 0,
  sleeping: false,
  adapters: [],
  ranks: 1,
};

const family = (name: string, type: string, help: string, samples: readonly string[]): string =>
  samples.length === 0 ? '' : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ''].join('\n');

/** As Python's client writes numbers. */
const float = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 1e16
    ? value.toFixed(1)
    : String(value).replace(/e\+?(-?)(\d)$/, 'e$1$2');

/** A share of a total for each rank; the first has what is left over. */
const shares = (total: number, ranks: number): number[] => {
  const each = Math.floor(total / ranks);
  return Array.from({ length: ranks }, (_, rank) => (rank === 0 ? total - each * (ranks - 1) : each));
};

const histogram = (name: string, labels: string, count: number, sum: number): string =>
  family(name, 'histogram', `Histogram of ${name}.`, [
    ...['0.005', '0.05', '0.5', '5.0', '+Inf'].map(
      (le, i) => `${name}_bucket{le="${le}",${labels}} ${float(Math.floor((count * (i + 1)) / 5))}`,
    ),
    `${name}_count{${labels}} ${float(count)}`,
    `${name}_sum{${labels}} ${float(sum)}`,
  ]);

const process = [
  family('python_gc_objects_collected_total', 'counter', 'Objects collected during gc', [
    'python_gc_objects_collected_total{generation="0"} 9414.0',
  ]),
  family('process_virtual_memory_bytes', 'gauge', 'Virtual memory size in bytes.', [
    'process_virtual_memory_bytes 1.6449617920e+010',
  ]),
].join('');

export function vllmV0(m: Moment): string {
  const labels = `model_name="${m.model}"`;
  const gauge = (name: string, value: number) =>
    family(`vllm:${name}`, 'gauge', name, [`vllm:${name}{${labels}} ${float(value)}`]);
  const counter = (name: string, value: number) =>
    family(`vllm:${name}_total`, 'counter', name, [`vllm:${name}_total{${labels}} ${float(value)}`]) +
    family(`vllm:${name}_created`, 'gauge', name, [`vllm:${name}_created{${labels}} 1.7e+09`]);
  return [
    process,
    gauge('num_requests_running', m.running),
    gauge('num_requests_swapped', 0),
    gauge('num_requests_waiting', m.waiting),
    gauge('gpu_cache_usage_perc', m.kv),
    gauge('cpu_cache_usage_perc', 0),
    gauge('gpu_prefix_cache_hit_rate', m.prefixQueries === 0 ? -1 : m.prefixHits / m.prefixQueries),
    counter('num_preemptions', 0),
    counter('prompt_tokens', m.promptTokens),
    counter('generation_tokens', m.generationTokens),
    histogram('vllm:time_to_first_token_seconds', labels, 11, 3.5),
    histogram('vllm:iteration_tokens_total', labels, m.steps, m.generationTokens),
  ].join('');
}

export function vllmV1(m: Moment): string {
  const labels = (rank: number) => `engine="${rank}",model_name="${m.model}"`;
  const each = (name: string, values: readonly number[]) =>
    values.map((value, rank) => `vllm:${name}{${labels(rank)}} ${float(value)}`);
  const gauge = (name: string, values: readonly number[]) => family(`vllm:${name}`, 'gauge', name, each(name, values));
  const counter = (name: string, total: number) =>
    family(`vllm:${name}_total`, 'counter', name, each(`${name}_total`, shares(total, m.ranks))) +
    family(
      `vllm:${name}_created`,
      'gauge',
      name,
      each(
        `${name}_created`,
        shares(0, m.ranks).map(() => 1.7e9),
      ),
    );
  const [capacity, deferred] = [shares(m.waiting - m.deferred, m.ranks), shares(m.deferred, m.ranks)];
  return [
    process,
    gauge('num_requests_running', shares(m.running, m.ranks)),
    gauge('num_requests_waiting', shares(m.waiting, m.ranks)),
    family('vllm:num_requests_waiting_by_reason', 'gauge', 'Requests waiting, by reason.', [
      ...capacity.map(
        (value, rank) => `vllm:num_requests_waiting_by_reason{${labels(rank)},reason="capacity"} ${float(value)}`,
      ),
      ...deferred.map(
        (value, rank) => `vllm:num_requests_waiting_by_reason{${labels(rank)},reason="deferred"} ${float(value)}`,
      ),
    ]),
    family(
      'vllm:engine_sleep_state',
      'gauge',
      'Engine sleep state.',
      shares(0, m.ranks).flatMap((_, rank) => [
        `vllm:engine_sleep_state{${labels(rank)},sleep_state="awake"} ${m.sleeping ? '0.0' : '1.0'}`,
        `vllm:engine_sleep_state{${labels(rank)},sleep_state="weights_offloaded"} ${m.sleeping ? '1.0' : '0.0'}`,
        `vllm:engine_sleep_state{${labels(rank)},sleep_state="discard_all"} 0.0`,
      ]),
    ),
    gauge(
      'kv_cache_usage_perc',
      shares(0, m.ranks).map((_, rank) => (rank === 0 ? m.kv : m.kv / 2)),
    ),
    counter('prefix_cache_queries', m.prefixQueries),
    counter('prefix_cache_hits', m.prefixHits),
    counter('prompt_tokens', m.promptTokens),
    counter('generation_tokens', m.generationTokens),
    shares(m.steps, m.ranks)
      .map((steps, rank) => histogram('vllm:iteration_tokens_total', labels(rank), steps, 0))
      .join(''),
    family('vllm:cache_config_info', 'gauge', 'Information of the LLMEngine CacheConfig', [
      'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="12000"} 1.0',
    ]),
    m.adapters.length === 0
      ? ''
      : family('vllm:lora_requests_info', 'gauge', 'Running stats on lora requests.', [
          'vllm:lora_requests_info{max_lora="4",running_lora_adapters="gone",waiting_lora_adapters=""} 1.7e+09',
          `vllm:lora_requests_info{max_lora="4",running_lora_adapters="${m.adapters.join(',')}",waiting_lora_adapters=""} 1.70001e+09`,
        ]),
    histogram('vllm:e2e_request_latency_seconds', labels(0), 4, 1.25),
  ].join('');
}

/** `tensorParallel`: each of its ranks says the same. */
export function sglangMetrics(m: Moment, newer: boolean, tensorParallel = 1): string {
  const label = (dp: number, tp: number) =>
    newer
      ? `model_name="${m.model}",engine_type="unified",tp_rank="${tp}",pp_rank="0",dp_rank="${dp}",moe_ep_rank="0"`
      : `model_name="${m.model}"`;
  const each = (name: string, values: readonly number[]) =>
    values.flatMap((value, dp) =>
      Array.from({ length: newer ? tensorParallel : 1 }, (_, tp) => `sglang:${name}{${label(dp, tp)}} ${float(value)}`),
    );
  const gauge = (name: string, values: readonly number[]) =>
    family(`sglang:${name}`, 'gauge', name, each(name, values));
  const counter = (name: string, total: number) =>
    family(`sglang:${name}_total`, 'counter', name, each(`${name}_total`, shares(total, m.ranks)));
  return [
    gauge('num_running_reqs', shares(m.running, m.ranks)),
    gauge('num_used_tokens', shares(m.steps, m.ranks)),
    gauge(
      'token_usage',
      shares(0, m.ranks).map((_, rank) => (rank === 0 ? m.kv : 0)),
    ),
    gauge(
      'gen_throughput',
      shares(0, m.ranks).map(() => 12.5),
    ),
    gauge('num_queue_reqs', shares(m.waiting, m.ranks)),
    gauge(
      'cache_hit_rate',
      shares(0, m.ranks).map(() => (m.prefixQueries === 0 ? 0 : m.prefixHits / m.prefixQueries)),
    ),
    counter('prompt_tokens', m.promptTokens),
    counter('generation_tokens', m.generationTokens),
    histogram('sglang:time_to_first_token_seconds', label(0, 0), 8, 2.5),
  ].join('');
}

/** `/v1/loads?include=core`. `uncached`: the newest versions say the waiting tokens themselves. */
export function sglangLoads(m: Moment, waitingTokens: number, uncached: boolean): unknown {
  const [running, waiting, tokens] = [
    shares(m.running, m.ranks),
    shares(m.waiting, m.ranks),
    shares(waitingTokens, m.ranks),
  ];
  return {
    timestamp: '2026-03-01T00:00:00+00:00',
    version: uncached ? '0.5.9' : '0.5.6',
    accelerator: 'NVIDIA H100',
    num_accelerators: m.ranks,
    loads: running.map((count, dp_rank) => ({
      dp_rank,
      num_running_reqs: count,
      num_waiting_reqs: waiting[dp_rank],
      num_used_tokens: 1000 + m.steps,
      num_total_tokens: 1000 + m.steps + (tokens[dp_rank] ?? 0),
      ...(uncached ? { num_waiting_uncached_tokens: tokens[dp_rank] } : {}),
      max_total_num_tokens: 400_000,
      token_usage: dp_rank === 0 ? m.kv : 0,
      gen_throughput: 50.5,
      cache_hit_rate: m.prefixQueries === 0 ? 0 : m.prefixHits / m.prefixQueries,
      utilization: 0.4,
      max_running_requests: 256,
    })),
  };
}

/** `/get_load` of versions before. */
export const sglangGetLoad = (m: Moment): unknown =>
  shares(m.running, m.ranks).map((running, dp_rank) => {
    const waiting = shares(m.waiting, m.ranks)[dp_rank] ?? 0;
    return { dp_rank, num_reqs: running + waiting, num_waiting_reqs: waiting, num_tokens: m.steps };
  });

export function llamaMetrics(m: Moment, newer: boolean): string {
  const one = (name: string, type: string, value: number) =>
    family(`llamacpp:${name}`, type, `${name}.`, [`llamacpp:${name} ${value}`]);
  return [
    one('prompt_tokens_total', 'counter', m.promptTokens),
    one('prompt_seconds_total', 'counter', 245.03),
    one('tokens_predicted_total', 'counter', m.generationTokens),
    one('tokens_predicted_seconds_total', 'counter', 73.2),
    one('n_decode_total', 'counter', m.steps),
    ...(newer ? [one('n_tokens_max', 'counter', 4096)] : []),
    one('n_busy_slots_per_decode', 'counter', 3.25),
    one('prompt_tokens_seconds', 'gauge', 0),
    one('predicted_tokens_seconds', 'gauge', 0),
    ...(newer ? [] : [one('kv_cache_usage_ratio', 'gauge', m.kv), one('kv_cache_tokens', 'gauge', 12)]),
    one('requests_processing', 'gauge', m.running),
    one('requests_deferred', 'gauge', m.waiting),
  ].join('');
}

/** `/slots` of four slots, with what must not be read. */
export const llamaSlots = (m: Moment, newer: boolean): unknown =>
  Array.from({ length: 4 }, (_, id) => {
    const next = { has_next_token: id < m.running, has_new_line: false, n_remain: -1, n_decoded: m.steps + id };
    return {
      id,
      id_task: id < m.running ? 100 + id : -1,
      n_ctx: 4096,
      speculative: false,
      is_processing: id < m.running,
      params: { n_predict: -1, seed: 4294967295, temperature: 0.8, stop: ['SECRET-STOP'] },
      prompt: '<|im_start|>user SECRET-PROMPT<|im_end|>',
      next_token: newer ? [next] : next,
    };
  });

export const llamaProps = (): unknown => ({
  default_generation_settings: { id: 0, n_ctx: 4096, params: { temperature: 0.8 } },
  total_slots: 4,
  model_path: '/models/qwen.gguf',
  chat_template: '{{ SECRET-TEMPLATE }}',
  build_info: 'b7000-0a1b2c3d',
});

export function textGeneration(m: Moment, newer: boolean): string {
  const one = (name: string, type: string, value: number, labels = '') =>
    `# TYPE ${name} ${type}\n${name}${labels} ${value}\n\n`;
  return [
    one('tgi_request_count', 'counter', 12),
    one('tgi_batch_inference_count', 'counter', m.steps, '{method="prefill"}').trimEnd(),
    `\ntgi_batch_inference_count{method="decode"} ${m.steps * 3}\n\n`,
    one('tgi_batch_current_size', 'gauge', m.running),
    newer ? one('tgi_batch_current_max_tokens', 'gauge', 512) : '',
    one('tgi_queue_size', 'gauge', m.waiting),
    `# TYPE tgi_request_input_length summary\ntgi_request_input_length{quantile="0.5"} 10\ntgi_request_input_length_sum ${m.promptTokens}\ntgi_request_input_length_count 12\n\n`,
    `# TYPE tgi_request_generated_tokens histogram\ntgi_request_generated_tokens_bucket{le="1"} 0\ntgi_request_generated_tokens_sum ${m.generationTokens}\ntgi_request_generated_tokens_count 12\n`,
  ].join('');
}

export const textGenerationInfo = (m: Moment, version: string): unknown => ({
  model_id: m.model,
  model_sha: 'abc',
  max_concurrent_requests: 128,
  max_input_tokens: 4095,
  max_total_tokens: 4096,
  version,
  router: 'text-generation-router',
});

export function textEmbeddings(m: Moment): string {
  return [
    '# TYPE te_request_count counter',
    `te_request_count{method="batch"} ${m.steps}`,
    '',
    '# TYPE te_request_success counter',
    `te_request_success{method="batch"} ${m.steps}`,
    '',
    '# TYPE te_queue_size gauge',
    `te_queue_size ${m.waiting}`,
    '',
  ].join('\n');
}

export const textEmbeddingsInfo = (m: Moment, version: string): unknown => ({
  model_id: m.model,
  model_type: { embedding: { pooling: 'cls' } },
  max_concurrent_requests: 512,
  max_input_length: 512,
  max_batch_tokens: 16_384,
  version,
});

export function tensorrtLlm(m: Moment, newer: boolean): string {
  const labels = `model_name="${m.model}",engine_type="undefined"`;
  const gauge = (name: string, value: number) =>
    family(`trtllm_${name}`, 'gauge', name, [`trtllm_${name}{${labels}} ${float(value)}`]);
  return [
    family('trtllm_request_success_total', 'counter', 'Count of successfully processed requests.', [
      `trtllm_request_success_total{finished_reason="end_id",${labels}} ${float(m.steps)}`,
    ]),
    histogram('trtllm_time_to_first_token_seconds', labels, 4, 1),
    ...(newer ? [gauge('num_requests_running', m.running), gauge('num_requests_waiting', m.waiting)] : []),
    gauge('kv_cache_hit_rate', m.prefixQueries === 0 ? 0 : m.prefixHits / m.prefixQueries),
    gauge('kv_cache_utilization', m.kv),
    ...(newer ? [gauge('kv_cache_max_blocks', 1000), gauge('kv_cache_tokens_per_block', 32)] : []),
  ].join('');
}

export function triton(m: Moment, newer: boolean): string {
  const of = (name: string, label: string, values: Readonly<Record<string, number>>) =>
    family(
      name,
      'gauge',
      'TRT LLM metrics',
      Object.entries(values).map(
        ([type, value]) => `${name}{${label}="${type}",model="tensorrt_llm",version="1"} ${value}`,
      ),
    );
  return [
    of('nv_trt_llm_request_metrics', 'request_type', {
      ...(newer ? { waiting: m.waiting } : {}),
      context: 0,
      scheduled: m.running,
      max: 512,
      active: m.running + m.waiting,
    }),
    of('nv_trt_llm_kv_cache_block_metrics', 'kv_cache_block_type', {
      fraction: m.kv,
      tokens_per: 64,
      used: 10,
      free: 90,
      max: 100,
    }),
    of('nv_trt_llm_inflight_batcher_metrics', 'inflight_batcher_specific_metric', {
      micro_batch_id: 0,
      generation_requests: m.running,
      total_context_tokens: 0,
    }),
    of('nv_trt_llm_general_metrics', 'general_type', { iteration_counter: m.steps, timestamp: 1_700_074_049 }),
    family('nv_inference_request_success', 'counter', 'Number of successful inference requests', [
      'nv_inference_request_success{model="ensemble",version="1"} 7',
    ]),
  ].join('');
}

export function lmdeploy(m: Moment, newer: boolean): string {
  const labels = (rank: number) => `engine="${rank}",model_name="${m.model}"`;
  const each = (name: string, values: readonly number[]) =>
    values.map((value, rank) => `lmdeploy:${name}{${labels(rank)}} ${float(value)}`);
  const gauge = (name: string, values: readonly number[]) =>
    family(`lmdeploy:${name}`, 'gauge', name, each(name, values));
  const counter = (name: string, total: number) =>
    family(`lmdeploy:${name}_total`, 'counter', name, each(`${name}_total`, shares(total, m.ranks)));
  const held = newer ? Math.min(1, m.waiting) : 0;
  return [
    gauge('num_requests_running', shares(m.running, m.ranks)),
    gauge('num_requests_waiting', shares(m.waiting - held, m.ranks)),
    newer ? gauge('num_api_requests_waiting', shares(held, m.ranks)) : '',
    gauge(
      'gpu_cache_usage_perc',
      shares(0, m.ranks).map(() => m.kv),
    ),
    newer
      ? gauge(
          'prefix_cache_hit_rate',
          shares(0, m.ranks).map(() => (m.prefixQueries === 0 ? 0 : m.prefixHits / m.prefixQueries)),
        )
      : '',
    counter('prompt_tokens', m.promptTokens),
    counter('generation_tokens', m.generationTokens),
  ].join('');
}
