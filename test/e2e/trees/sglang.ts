import { jsonApi, sglang } from '../../harness/fake-engines.js';
import { leaving, on, type Row, run, spawned, tracker } from './row.js';

const model = 'meta-llama/Llama-3.1-8B-Instruct';
const engine = 'sglang';
const launch = `python3 -m sglang.launch_server --model-path ${model}`;
const parts = [run('sglang::scheduler_TP0'), run('sglang::detokenizer'), tracker];

export const sglangTrees: readonly Row[] = [
  {
    title: 'SGLang on all addresses, with its scheduler',
    tree: run(`${launch} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', sglang(model)), ...parts),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'SGLang of before late 2025',
    tree: run(`${launch} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', sglang(model, 'ready', true)), ...parts),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'SGLang that warms up',
    tree: run(`${launch} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', sglang(model, 'loading')), ...parts),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'SGLang that asks for a key',
    tree: run(`${launch} --host 0.0.0.0 --port {a} --api-key k`, on('0.0.0.0:{a}', sglang(model, 'key')), ...parts),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'SGLang on loopback, which is its default',
    tree: run(`${launch} --port {a}`, on('127.0.0.1:{a}', sglang(model)), ...parts),
    engine,
    model,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'SGLang in a namespace of its own, on its default port',
    tree: run(`${launch} --host 0.0.0.0`, on('0.0.0.0:30000', sglang(model)), ...parts),
    apart: 'loopback',
    engine,
    model,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a process that was started as SGLang and answers as another API',
    tree: run(`${launch} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', jsonApi()), ...parts),
    engine,
    model,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'SGLang that loads: only its scheduler listens',
    tree: run(`${launch} --host 0.0.0.0 --port {a}`, spawned(on('{here}:{b}', 'silent')), tracker),
    engine,
    model,
    endpoint: 'notListening',
    ready: false,
  },
  {
    title: 'SGLang whose launcher has ended',
    tree: leaving(
      'bash start.sh',
      run(`${launch} --host {here} --port {a}`, on('{here}:{a}', sglang(model)), ...parts),
    ),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'the router of SGLang, with the server that it starts on loopback',
    tree: run(
      `python3 -m sglang_router.launch_server --model-path ${model} --host 0.0.0.0 --port {a}`,
      on('0.0.0.0:{a}', sglang(model)),
      run(`${launch} --host 127.0.0.1 --port {b}`, on('127.0.0.1:{b}', sglang(model)), ...parts),
    ),
    engine,
    model,
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
];
