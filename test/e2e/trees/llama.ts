import {
  llamaCppPython,
  llamaServer,
  ollama,
  ollamaRunner,
  redirecting,
  webApplication,
} from '../../harness/fake-engines.js';
import { leaving, on, type Row, run, sh } from './row.js';

const blob = '/root/.ollama/models/blobs/sha256-667b0c1932bc6ffc593ed1d03f895bf2dc8dc6df21db3042284a6f4416b06a29';
const llama = { engine: 'llama-server', model: 'm' } as const;
const server = 'llama-server -m /models/m.gguf --alias m';

const llamaServerTrees: readonly Row[] = [
  {
    title: 'llama-server on all addresses',
    tree: run(`${server} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', llamaServer('m'))),
    ...llama,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-server without an alias',
    tree: run('llama-server -m /models/m.gguf --host 0.0.0.0 --port {a}', on('0.0.0.0:{a}', llamaServer('m.gguf'))),
    engine: 'llama-server',
    model: 'm.gguf',
    models: ['m.gguf', '/models/m.gguf'],
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-server that loads',
    tree: run(`${server} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', llamaServer('m', 'loading'))),
    ...llama,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'llama-server with a key',
    tree: run(`${server} --host 0.0.0.0 --port {a} --api-key k`, on('0.0.0.0:{a}', llamaServer('m', 'key'))),
    ...llama,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-server whose port is in its environment',
    tree: run(server, on('0.0.0.0:{a}', llamaServer('m'))),
    env: { LLAMA_ARG_PORT: '{a}', LLAMA_ARG_HOST: '0.0.0.0' },
    ...llama,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-server on loopback',
    tree: run(`${server} --port {a}`, on('127.0.0.1:{a}', llamaServer('m'))),
    ...llama,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'llama-server in a namespace of its own, on its default port and loopback',
    tree: run(server, on('127.0.0.1:8080', llamaServer('m'))),
    apart: 'loopback',
    ...llama,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'llama-server that is busy: it accepts and does not answer',
    tree: run(`${server} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', 'silent')),
    ...llama,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'llama-server with a certificate',
    tree: run(
      `${server} --host {here} --port {a} --ssl-key-file /etc/k.pem --ssl-cert-file /etc/c.pem`,
      on('{here}:{a}', llamaServer('m'), { tls: true }),
    ),
    ...llama,
    endpoint: 'https://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-swap before the llama-server that it has started',
    tree: run(
      '/app/llama-swap -config config.yaml -listen 0.0.0.0:{a}',
      on('0.0.0.0:{a}', llamaServer('m')),
      run(`${server} --host 127.0.0.1 --port {b}`, on('127.0.0.1:{b}', llamaServer('m'))),
    ),
    ...llama,
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title: 'two llama-servers in one worker',
    tree: sh(
      'two.sh',
      run(`${server} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', llamaServer('m'))),
      run(`${server} --host 0.0.0.0 --port {b}`, on('0.0.0.0:{b}', llamaServer('m'))),
    ),
    ...llama,
    endpoint: 'severalCandidates',
    ready: true,
  },
  {
    title: 'two llama-servers, of which one answers as a web application',
    tree: sh(
      'two.sh',
      run(`${server} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', webApplication())),
      run(`${server} --host 0.0.0.0 --port {b}`, on('0.0.0.0:{b}', llamaServer('m'))),
    ),
    ...llama,
    endpoint: 'http://{here}:{b}',
    ready: true,
  },
];

const none = { engine: 'ollama', model: null } as const;

const ollamaTrees: readonly Row[] = [
  {
    title: 'Ollama with the llama-server that it has started on a blob',
    tree: run(
      '/usr/bin/ollama serve',
      on('0.0.0.0:{a}', ollama('llama3.1:8b')),
      run(`/usr/lib/ollama/llama-server --model ${blob} --port {b} --no-webui`, on('127.0.0.1:{b}', llamaServer(blob))),
    ),
    env: { OLLAMA_HOST: '0.0.0.0:{a}' },
    engine: 'ollama',
    model: 'llama3.1:8b',
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'Ollama with a runner of its own',
    tree: run(
      '/usr/bin/ollama serve',
      on('0.0.0.0:{a}', ollama('llama3.1:8b')),
      run(`/usr/bin/ollama runner --model ${blob} --port {b}`, on('127.0.0.1:{b}', ollamaRunner())),
    ),
    env: { OLLAMA_HOST: '0.0.0.0:{a}' },
    engine: 'ollama',
    model: 'llama3.1:8b',
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'Ollama on another port of loopback',
    tree: run('ollama serve', on('127.0.0.1:{a}', ollama())),
    env: { OLLAMA_HOST: '127.0.0.1:{a}' },
    ...none,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'Ollama on ::, which takes IPv4 too',
    tree: run('/bin/ollama serve', on(':::{a}', ollama())),
    env: { OLLAMA_HOST: '[::]:{a}' },
    ...none,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'Ollama in a namespace of its own, on its default port',
    tree: run('/bin/ollama serve', on(':::11434', ollama('qwen3:8b'))),
    apart: 'loopback',
    engine: 'ollama',
    model: 'qwen3:8b',
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'Ollama that does not listen yet',
    tree: leaving('bash start.sh', run('/usr/bin/ollama serve')),
    ...none,
    endpoint: 'notListening',
    ready: false,
  },
  {
    title: 'a process that was started as Ollama and sends everyone elsewhere',
    tree: run('/usr/bin/ollama serve', on('{here}:{a}', redirecting())),
    ...none,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'Ollama on loopback, with Caddy before it',
    tree: sh(
      'both.sh',
      run('caddy run --config /etc/caddy/Caddyfile', on('0.0.0.0:{a}', ollama(), { tls: true })),
      run('/usr/bin/ollama serve', on('127.0.0.1:{b}', ollama())),
    ),
    ...none,
    endpoint: 'https://{here}:{a}',
    ready: 'serverUnknown',
  },
];

const python = { engine: 'llama-cpp-python', model: 'm' } as const;
const module = 'python3 -m llama_cpp.server --model /models/m.gguf --model_alias m';

const llamaCppPythonTrees: readonly Row[] = [
  {
    title: 'llama-cpp-python on all addresses',
    tree: run(`${module} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', llamaCppPython('m'))),
    ...python,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-cpp-python with a key',
    tree: run(`${module} --host {here} --port {a} --api_key k`, on('{here}:{a}', llamaCppPython('m', 'key'))),
    ...python,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-cpp-python on loopback, which is its default',
    tree: run(`${module} --port {a}`, on('127.0.0.1:{a}', llamaCppPython('m'))),
    ...python,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'llama-cpp-python in a namespace of its own, on its default port',
    tree: sh('exec.sh', run(`${module} --host 0.0.0.0`, on('0.0.0.0:8000', llamaCppPython('m')))),
    apart: 'loopback',
    ...python,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'llama-cpp-python with a certificate',
    tree: run(
      `${module} --host 0.0.0.0 --port {a} --ssl_keyfile k --ssl_certfile c`,
      on('0.0.0.0:{a}', llamaCppPython('m'), { tls: true }),
    ),
    ...python,
    endpoint: 'https://{here}:{a}',
    ready: true,
  },
  {
    title: 'llama-cpp-python that loads its model',
    tree: run(`${module} --host 0.0.0.0 --port {a}`),
    ...python,
    endpoint: 'notListening',
    ready: false,
  },
];

export const llamaTrees = [...llamaServerTrees, ...ollamaTrees, ...llamaCppPythonTrees];
