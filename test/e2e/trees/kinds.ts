import { llamaServer, metrics, ollama, type Site, sglang, vllm, webApplication } from '../../harness/fake-engines.js';
import { leaving, on, type Row, run, spawned } from './row.js';

const model = 'Qwen/Qwen3-8B';
const serve = `/usr/bin/python3 /usr/local/bin/vllm serve ${model}`;

/** Says a version as vLLM does, and is another program. */
const versioned: Site = (path) =>
  path === '/version' || path === '/health'
    ? { status: 200, type: 'application/json', body: '{"version":"2.1.0"}' }
    : { status: 404, type: 'application/json', body: '{"detail":"Not Found"}' };

/** Draws from kinds of which another one came out wrong: sockets that are not the public one, and managers with their engines. */
export const kindTrees: readonly Row[] = [
  {
    title: 'vLLM whose port stands in a file, with sockets of its own for messages and metrics',
    tree: run(
      `${serve} --config c.yaml`,
      on('0.0.0.0:{a}', vllm(model)),
      on('{here}:{b}', 'silent'),
      on('0.0.0.0:{c}', metrics()),
      run('VLLM::EngineCore_0'),
    ),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'vLLM on an IPv4 address of loopback written as IPv6',
    tree: run(`${serve} --host ::ffff:127.0.0.1 --port {a}`, on('::ffff:127.0.0.1:{a}', vllm(model))),
    engine: 'vllm',
    model,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'vLLM on all addresses, where a stranger has its port on the address of the host',
    tree: run(`${serve} --port {a}`, on('0.0.0.0:{a}', vllm(model), { reusePort: true })),
    strangers: [run('python3 app.py', on('{here}:{a}', webApplication(), { reusePort: true }))],
    engine: 'vllm',
    model,
    endpoint: 'addressUnknown',
    ready: true,
  },
  {
    title: 'a router of llama.cpp by a preset, with the two servers that it has started on loopback',
    tree: run(
      'llama-server --models-preset /etc/models.ini --host 0.0.0.0 --port {a}',
      on('0.0.0.0:{a}', llamaServer('qwen')),
      run(
        'llama-server --host 127.0.0.1 --port {b} --alias qwen -m /m/q.gguf',
        on('127.0.0.1:{b}', llamaServer('qwen')),
      ),
      run('llama-server --host 127.0.0.1 --port {c} --alias phi -m /m/p.gguf', on('127.0.0.1:{c}', llamaServer('phi'))),
    ),
    engine: 'llama-server',
    model: 'qwen',
    models: ['qwen', 'phi'],
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'Ollama with two models loaded, and a runner of each kind',
    tree: run(
      '/usr/bin/ollama serve',
      on('0.0.0.0:{a}', ollama('qwen3:8b', 'nomic-embed-text:latest')),
      run('/usr/lib/ollama/llama-server --model /m/blobs/sha256-0a --port {b}', on('127.0.0.1:{b}', llamaServer('x'))),
      run('/usr/bin/ollama runner --ollama-engine --port {c}', on('127.0.0.1:{c}', 'silent')),
    ),
    env: { OLLAMA_HOST: '{a}' },
    engine: 'ollama',
    model: 'qwen3:8b',
    models: ['qwen3:8b', 'nomic-embed-text:latest'],
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'a swap proxy with engines of two kinds, of which one still loads',
    tree: run(
      '/usr/local/bin/llama-swap --listen 0.0.0.0:{a}',
      on('0.0.0.0:{a}', webApplication()),
      run('llama-server --alias small --port {b} -m /m/s.gguf', on('127.0.0.1:{b}', llamaServer('small', 'loading'))),
      run(`${serve} --served-model-name large --port {c}`, on('127.0.0.1:{c}', vllm('large'))),
    ),
    engine: null,
    model: 'small',
    models: ['small', 'large'],
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title: 'vLLM whose server is what multiprocessing started',
    tree: run(`${serve} --port {a}`, spawned(on('0.0.0.0:{a}', vllm(model))), spawned(on('127.0.0.1:{b}', 'silent'))),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'vLLM whose server lost its parent, has another name and another port',
    tree: run(
      'bash start.sh',
      run(`${serve} --port {a}`),
      leaving('python3 launch.py', run('http-worker 1', on('0.0.0.0:{b}', vllm(model)))),
    ),
    engine: 'vllm',
    model,
    endpoint: 'http://{here}:{b}',
    ready: true,
  },
  {
    title: 'vLLM that loads, with a web application beside it in its worker on its port',
    tree: run('bash start.sh', run(`${serve} --port {a}`), run('node app.js', on('0.0.0.0:{a}', webApplication()))),
    engine: 'vllm',
    model,
    endpoint: 'notListening',
    ready: false,
  },
  {
    title: 'vLLM on :: for IPv6 alone, where a stranger has its port on all IPv4 addresses',
    tree: run(`${serve} --host :: --port {a}`, on(':::{a}', vllm(model), { v6Only: true })),
    strangers: [run('nginx', on('0.0.0.0:{a}', webApplication()))],
    engine: 'vllm',
    model,
    endpoint: 'addressUnknown',
    ready: true,
  },
  {
    title: 'SGLang behind a router that it has started itself',
    tree: run(
      'python3 -m sglang.launch_server --model-path m --host 127.0.0.1 --port {b}',
      on('127.0.0.1:{b}', sglang('m')),
      run('python3 -m sglang_router.launch_router --host 0.0.0.0 --port {a}', on('0.0.0.0:{a}', webApplication())),
    ),
    engine: 'sglang',
    model: 'm',
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title: 'two servers of one model in one worker, which share their port',
    tree: run(
      'supervisord -n',
      run(`${serve} --port {a}`, on('0.0.0.0:{a}', vllm(model), { reusePort: true })),
      run(`${serve} --port {a}`, on('0.0.0.0:{a}', vllm(model), { reusePort: true })),
    ),
    engine: 'vllm',
    model,
    endpoint: 'severalCandidates',
    ready: 'serverUnreachable',
    faults: ['PORT_SHARED'],
  },
  {
    title: 'vLLM whose server lost its parent, with a certificate, beside a web application that answers all',
    tree: run(
      'bash start.sh',
      run(`${serve} --config c.yaml`),
      leaving('python3 launch.py', run('serve-worker', on('0.0.0.0:{b}', vllm(model), { tls: true }))),
      run('node app.js', on('0.0.0.0:{a}', webApplication())),
    ),
    engine: 'vllm',
    model,
    endpoint: 'https://{here}:{b}',
    ready: true,
  },
  {
    title: 'vLLM whose server is what multiprocessing started, on loopback alone',
    tree: run(serve, spawned(on('127.0.0.1:{a}', vllm(model)))),
    engine: 'vllm',
    model,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'vLLM that loads, with a program beside it that has a version',
    tree: run('bash start.sh', run(`${serve} --port {a}`), run('node app.js', on('0.0.0.0:{b}', versioned))),
    engine: 'vllm',
    model,
    endpoint: 'notListening',
    ready: false,
  },
];
