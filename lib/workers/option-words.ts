/** Words that names of options are made of. A name with any other word may hold a secret, and is not shown. */
export const optionWords: ReadonlySet<string> = new Set(
  `a accept access account action activation adapter adapters add address admin affinity alias all allow allowed api app apply
  arch arg args async at attention attn auth auto backend backends backlog balance base basic batch batched batching beam bench
  beta bias bind bit bits block blocks body bootstrap bucket buckets buffer build bytes ca cache cached capacity cert certfile
  chat check checkpoint chunk chunked class cli client cluster code collect color colour command comm compile compilation
  completion compute concurrency concurrent conf config configs connect connection console context continuous control convert
  cookie copy core cores cors cost count cpu cpus create credentials ctx cuda custom cwd daemon data database db debug decode
  decoder decoding default defrag delay depth dest detect dev device devices dir directory disable disaggregation disk
  distributed dns domain download dp draft drop dry dtype dump dynamic eager echo embedding embeddings emit enable encode
  encoder endpoint endpoints engine entrypoint env environment ep epoch epochs error errors eval event events exclude exec exit
  experimental expert experts export external factor fail fallback feature features file files filter first flag flags flash
  float flush fold force foreground format forward fp fps fraction free freq frequency from front full fused gb gen generate
  generation git global gpu gpus grammar graceful graph graphs grid group grpc guard guided handler hash head header headers
  health heartbeat help hf hidden high home host hosts hostname hot http https hub id idle ignore image images in include index
  info init input inputs insecure instance instances int interactive interface interval io ip ipc is iter iterations job jobs
  jinja json keep kernel key keyfile keys kill kv label labels lang language last latency launch layer layers lazy len length
  level lib license limit limits line lines list listen load loader local localhost lock log logging logit logits logprobs logs
  long lora loss low lr machine main manager map mask master match max mb mean media mem memory merge message meta method metric
  metrics mig min mirostat mixed mlock mm mmap mmproj mode model models module modules moe monitor mount mp multi multimodal
  multiple name names native nccl net network new nice no node nodes nofile none norm note np num numa number object off offline
  offload offset on once only open optimizer option options order origin origins otlp out output outputs over overlap override
  overwrite owner pack page pages parallel parallelism param parameter parameters params parent parse parser part partition
  password path paths pause per percent perf permission persist phase pid pids ping pipe pipeline plan plugin plugins policy
  poll pool pooling port ports pp pre prediction predict prefill prefix preload preset print priority private process processes
  processor profile profiler progress project prompt protocol provider proxy public pull push qps quant quantization quantize
  query queue quick quiet random range rank ranks rate ratio raw ray read reader reasoning rebuild record recursive redirect
  redis refresh region regex register registry release reload remote remove rename repeat replace replica replicas report repo
  repository request requests required reserve reset resource response restart result resume retries retry reuse revision rewrite
  role root rope rotate router routing row rpc rule run runner runtime safe safetensors sample sampler samplers samples sampling
  save scale scaling scan schedule scheduler scheduling schema score script seconds secret secrets section secure seed select
  self send separator seq seqs sequence sequences serve served server servers service session set sets shard sharded shards shared
  shell shm short show shutdown signal silent simple single size skip sleep slot slots slow small socket sort source spec
  speculative speed split ssl stack staging stale start state static stats status step steps stop storage store stream streaming
  streams strict string style subset suffix swap sync system table tag tags target task tasks tcp temp temperature template tenant
  tensor test text thread threads threshold throughput time timeout timestamps title tls to token tokenizer tokens tool tools top
  torch tp trace tracing train transport tree trust tty ttl tune type ubatch udp uds ui unit unix update upgrade upload upstream
  uri url urls usage use user username users utilization uuid uvicorn validate validation value values var verbose verbosity
  verify version video virtual visible vocab volume wait waiting warmup warning watch web weight weights width window with
  without workdir worker workers working workspace world write x yes zone`.split(/\s+/),
);
