import { jsonApi, llamaServer, lmdeploy, locked, sglang, textEmbeddings, vllm } from '../../harness/fake-engines.js';
import { on, type Row, run } from './row.js';

const model = 'Qwen/Qwen3-8B';
const serve = '/usr/bin/python3 /usr/local/bin/vllm serve Qwen/Qwen3-8B --host 0.0.0.0 --port {a}';
const isHealth = (path: string): boolean => path === '/health';
const isList = (path: string): boolean => path === '/v1/models' || path === '/version' || isHealth(path);

/** Engines whose health needs a key that the hive does not have: that says neither that they are ready nor that they are not. */
export const keyTrees: readonly Row[] = [
  {
    title: 'vLLM with a middleware that asks for a key on every path',
    tree: run(`${serve} --middleware auth.Bearer`, on('0.0.0.0:{a}', locked(vllm(model)))),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'keyNeeded',
  },
  {
    title: 'vLLM that asks for a key on its health alone, by 403',
    tree: run(serve, on('0.0.0.0:{a}', locked(vllm(model), isHealth, 403))),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'keyNeeded',
  },
  {
    title: 'vLLM with a certificate that asks for a key on its lists and its health',
    tree: run(
      `${serve} --ssl-certfile c --ssl-keyfile k`,
      on('0.0.0.0:{a}', locked(vllm(model), isList), { tls: true }),
    ),
    engine: 'vllm',
    model,
    endpoint: 'https://{here}:{a}',
    ready: 'keyNeeded',
  },
  {
    title: 'SGLang that asks for a key on every path, not healthy behind it',
    tree: run(
      `python3 -m sglang.launch_server --model-path ${model} --host 0.0.0.0 --port {a}`,
      on('0.0.0.0:{a}', locked(sglang(model, 'unhealthy'))),
      run('sglang::scheduler_TP0'),
    ),
    engine: 'sglang',
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'keyNeeded',
  },
  {
    title: 'llama-server in a namespace of its own that asks for a key on every path',
    tree: run('llama-server -m /models/m.gguf --alias m --host 0.0.0.0', on('0.0.0.0:8080', locked(llamaServer('m')))),
    apart: 'loopback',
    engine: 'llama-server',
    model: 'm',
    endpoint: 'otherNamespace',
    ready: 'keyNeeded',
  },
  {
    title: 'LMDeploy that asks for a key on its list of models and its health',
    tree: run(
      `lmdeploy serve api_server ${model} --api-keys k --server-port {a}`,
      on('0.0.0.0:{a}', locked(lmdeploy(model), isList)),
    ),
    engine: 'lmdeploy',
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'keyNeeded',
  },
  {
    title: 'TEI whose health is open and all else asks for a key, not healthy',
    tree: run(
      'text-embeddings-router --model-id BAAI/bge-m3 --port {a} --api-key k',
      on(
        '0.0.0.0:{a}',
        locked(textEmbeddings('BAAI/bge-m3', 'unhealthy'), (path) => !isHealth(path)),
      ),
    ),
    engine: 'text-embeddings',
    model: 'BAAI/bge-m3',
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'vLLM that does not listen, with another program of its worker that asks for a key on its port',
    tree: run(`bash start.sh`, run(serve), run('python3 app.py --port {a}', on('0.0.0.0:{a}', locked(jsonApi())))),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
];
