import { metrics, textEmbeddings, textGeneration, vllm, webApplication } from '../../harness/fake-engines.js';
import { on, type Row, run, sh } from './row.js';

const llm = 'mistralai/Mistral-7B-Instruct-v0.3';
const embedder = 'BAAI/bge-large-en-v1.5';
const tgi = { engine: 'text-generation', model: llm } as const;
const tei = { engine: 'text-embeddings', model: embedder } as const;

/** The launcher, the server of its shard, and its router, which listens. */
const launcher = (options: string, ...sockets: Parameters<typeof run>[1][]) =>
  run(
    `text-generation-launcher --model-id ${llm} ${options}`.trim(),
    run(`/usr/src/.venv/bin/python /usr/src/.venv/bin/text-generation-server serve ${llm} --uds-path /tmp/tgi`),
    ...(sockets.length === 0
      ? []
      : [run(`text-generation-router --tokenizer-name ${llm} ${options}`.trim(), ...sockets)]),
  );

const textGenerationTrees: readonly Row[] = [
  {
    title: 'TGI: its router listens, not its launcher',
    tree: launcher('--port {a}', on('0.0.0.0:{a}', textGeneration(llm))),
    ...tgi,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'TGI in a namespace of its own, on port 80',
    tree: launcher('--port 80', on('0.0.0.0:80', textGeneration(llm))),
    apart: 'loopback',
    ...tgi,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'TGI in a namespace of its own, on its default port',
    tree: launcher('', on('0.0.0.0:3000', textGeneration(llm))),
    apart: 'loopback',
    ...tgi,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'TGI that loads: its router is not there yet',
    tree: launcher('-p {a}'),
    ...tgi,
    endpoint: 'notListening',
    ready: false,
  },
  {
    title: 'TGI whose shard is dead',
    tree: launcher('-p {a}', on('0.0.0.0:{a}', textGeneration(llm, 'unhealthy'))),
    ...tgi,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'TGI with a port of its own for metrics',
    tree: launcher(
      '--port {a} --prometheus-port {b}',
      on('0.0.0.0:{a}', textGeneration(llm)),
      on('0.0.0.0:{b}', metrics()),
    ),
    ...tgi,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
];

const router = `text-embeddings-router --model-id ${embedder}`;

const textEmbeddingsTrees: readonly Row[] = [
  {
    title: 'TEI on all addresses, with its port for metrics',
    tree: run(
      `${router} --port {a} --prometheus-port {b}`,
      on('0.0.0.0:{a}', textEmbeddings(embedder)),
      on('0.0.0.0:{b}', metrics()),
    ),
    ...tei,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'TEI that asks for a key',
    tree: run(`${router} -p {a} --api-key k`, on('0.0.0.0:{a}', textEmbeddings(embedder, 'key'))),
    ...tei,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'TEI in a namespace of its own, on its default port',
    tree: run(router, on('0.0.0.0:3000', textEmbeddings(embedder))),
    apart: 'loopback',
    ...tei,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'TEI that is not healthy',
    tree: run(`${router} --hostname {here} --port {a}`, on('{here}:{a}', textEmbeddings(embedder, 'unhealthy'))),
    ...tei,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'a process that was started as TEI and answers as a web application',
    tree: run(`${router} --port {a}`, on('0.0.0.0:{a}', webApplication())),
    ...tei,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'TEI and vLLM in one worker',
    tree: sh(
      'both.sh',
      run(`${router} --port {a}`, on('0.0.0.0:{a}', textEmbeddings(embedder))),
      run(`vllm serve ${llm} --port {b}`, on('0.0.0.0:{b}', vllm(llm))),
    ),
    engine: null,
    model: null,
    endpoint: 'severalCandidates',
    ready: true,
  },
];

export const textTrees = [...textGenerationTrees, ...textEmbeddingsTrees];
