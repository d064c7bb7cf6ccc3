/**
 * What a value must look like to be shown. `model` is a name, path or URL, which is cleaned; `word` is one of `keywords`;
 * `size` is a number with a unit (`32k`).
 */
export type ValueShape = 'model' | 'host' | 'port' | 'number' | 'size' | 'word';

/** Shapes by the name of the option, with `-` for each `_` of a long one. */
export type ShownOptions = ReadonlyMap<string, ValueShape>;

/** Options whose values are known to be harmless: names of one shape in one text, blanks between. */
export const shownOptions = (table: Readonly<Partial<Record<ValueShape, string>>>): ShownOptions =>
  new Map(
    Object.entries(table).flatMap(([shape, names]) => names.split(/\s+/).map((name) => [name, shape as ValueShape])),
  );

/** Options of programs that are no known engine. Never `-m`: it means "module" to Python, "memory" to others. */
export const anyProgramOptions = shownOptions({
  model: '--model --model-path --model-id --model-name --served-model-name',
  port: '--port',
  host: '--host',
});

/** Values of options that take one of a few words. */
export const keywords: ReadonlySet<string> = new Set(
  `auto none true false on off all half float float16 float32 bfloat16 fp16 bf16 fp8 fp4 fp8_e4m3 fp8_e5m2 nvfp4 mxfp4 int8 int4
  awq awq_marlin gptq gptq_marlin marlin bitsandbytes bitsandbytes-nf4 eetq exl2 compressed-tensors modelopt modelopt_fp4 gguf
  torchao w8a8_int8 w8a8_fp8 mxfp8 quark hqq safetensors pt dummy sharded_state tensorizer runai_streamer mistral slow
  cuda rocm cpu tpu xpu hpu neuron mps ray mp uni external_launcher fcfs priority lpm random dfs-weight lof
  flashinfer triton fa3 fa4 torch_native flashmla cutlass_mla trtllm_mla trtllm_mha
  f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1 layer row tensor mean cls last rank distribute isolate numactl
  poll explicit pytorch tensorrt trt _autodeploy debug info warning error verbose`.split(/\s+/),
);
