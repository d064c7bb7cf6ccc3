import {
  fileServer,
  guarded,
  jsonApi,
  lmdeploy,
  metrics,
  mlxLm,
  type Site,
  triton,
  trtllm,
  versionedApi,
  webApplication,
} from '../../harness/fake-engines.js';
import { on, type Row, run } from './row.js';

/** Answers everything with one status. */
const health =
  (status: number): Site =>
  () => ({ status, type: 'text/plain', body: '' });

const llm = 'Qwen/Qwen2.5-7B-Instruct';
const tritonserver = { engine: 'tritonserver', model: null } as const;
const tensorrt = { engine: 'tensorrt-llm', model: llm } as const;
const turbomind = { engine: 'lmdeploy', model: llm } as const;
const mlx = { engine: 'mlx-lm', model: llm } as const;
const ports = '--http-port {a} --grpc-port {b} --metrics-port {c}';
const rest = [on('0.0.0.0:{b}', 'silent'), on('0.0.0.0:{c}', metrics())] as const;
const stub = run('/opt/tritonserver/backends/python/triton_python_backend_stub /models/m/1/model.py triton_1 1048576');

const tritonTrees: readonly Row[] = [
  {
    title: 'Triton on its three ports',
    tree: run(`tritonserver --model-repository=/models ${ports}`, on('0.0.0.0:{a}', triton()), ...rest, stub),
    ...tritonserver,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'Triton that loads its models',
    tree: run(`tritonserver --model-repository=/models ${ports}`, on('0.0.0.0:{a}', triton('loading')), ...rest),
    ...tritonserver,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'Triton with one model, on loopback',
    tree: run(
      `tritonserver --model-repository=/models --model-control-mode=explicit --load-model=bert --http-address 127.0.0.1 ${ports}`,
      on('127.0.0.1:{a}', triton()),
      ...rest,
    ),
    engine: 'tritonserver',
    model: 'bert',
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'Triton in a namespace of its own, on its default ports',
    tree: run(
      'tritonserver --model-repository=/models',
      on('0.0.0.0:8000', triton()),
      on('0.0.0.0:8001', 'silent'),
      on('0.0.0.0:8002', metrics()),
    ),
    apart: 'loopback',
    ...tritonserver,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'Triton without HTTP',
    tree: run(`tritonserver --model-repository=/models --allow-http=false --grpc-port {b} --metrics-port {c}`, ...rest),
    ...tritonserver,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'Triton under mpirun',
    tree: run(
      `mpirun --allow-run-as-root -n 1 tritonserver --model-repository=/models ${ports}`,
      run(`tritonserver --model-repository=/models ${ports}`, on('0.0.0.0:{a}', triton()), ...rest),
    ),
    ...tritonserver,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
];

const serve = `/usr/bin/python3 /usr/local/bin/trtllm-serve ${llm}`;
const rank = run('python3 -m mpi4py.futures.server', on('{here}:{b}', 'silent'));

const trtllmTrees: readonly Row[] = [
  {
    title: 'trtllm-serve on all addresses, with its ranks',
    tree: run(`${serve} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', trtllm(llm)), rank),
    ...tensorrt,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'trtllm-serve on loopback, which is its default',
    tree: run(`trtllm-serve serve ${llm} --port {a}`, on('127.0.0.1:{a}', trtllm(llm))),
    ...tensorrt,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'trtllm-serve in a namespace of its own, on its default port',
    tree: run(`${serve} --host 0.0.0.0`, on('0.0.0.0:8000', trtllm(llm))),
    apart: 'loopback',
    ...tensorrt,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'trtllm-serve that is not healthy',
    tree: run(`${serve} --host {here} --port {a}`, on('{here}:{a}', trtllm(llm, 'unhealthy'))),
    ...tensorrt,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'a process that was started as trtllm-serve and answers by a version of another form',
    tree: run(`${serve} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', versionedApi())),
    ...tensorrt,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'trtllm-serve behind its launcher',
    tree: run(
      `mpirun -n 2 trtllm-llmapi-launch trtllm-serve ${llm} --host 0.0.0.0 --port {a}`,
      run(`${serve} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', trtllm(llm))),
      rank,
    ),
    ...tensorrt,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
];

const api = `/usr/bin/python3 /opt/py3/bin/lmdeploy serve api_server ${llm}`;

const lmdeployTrees: readonly Row[] = [
  {
    title: 'LMDeploy on all addresses',
    tree: run(`${api} --server-port {a}`, on('0.0.0.0:{a}', lmdeploy(llm))),
    ...turbomind,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'LMDeploy in a namespace of its own, on its default port',
    tree: run(`lmdeploy serve api_server ${llm}`, on('0.0.0.0:23333', lmdeploy(llm))),
    apart: 'loopback',
    ...turbomind,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'LMDeploy with a key and another name',
    tree: run(`${api} --model-name chat --api-keys k --server-port {a}`, on('0.0.0.0:{a}', lmdeploy('chat', 'key'))),
    engine: 'lmdeploy',
    model: 'chat',
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'LMDeploy on loopback',
    tree: run(`${api} --server-name 127.0.0.1 --server-port {a}`, on('127.0.0.1:{a}', lmdeploy(llm))),
    ...turbomind,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'LMDeploy that is not healthy',
    tree: run(`${api} --server-port {a}`, on('0.0.0.0:{a}', lmdeploy(llm, 'unhealthy'))),
    ...turbomind,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title: 'a process that was started as LMDeploy and answers as another API',
    tree: run(`${api} --server-port {a}`, on('0.0.0.0:{a}', jsonApi())),
    ...turbomind,
    endpoint: 'unidentified',
    ready: false,
  },
];

const mlxTrees: readonly Row[] = [
  {
    title: 'mlx_lm.server on all addresses',
    tree: run(
      `python3 /usr/local/bin/mlx_lm.server --model ${llm} --host 0.0.0.0 --port {a}`,
      on('0.0.0.0:{a}', mlxLm(llm)),
    ),
    ...mlx,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'mlx_lm.server on loopback, which is its default',
    tree: run(`python3 -m mlx_lm server --model ${llm} --port {a}`, on('127.0.0.1:{a}', mlxLm(llm))),
    ...mlx,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'mlx_lm.server in a namespace of its own, on its default port',
    tree: run(`python3 -m mlx_lm.server --model ${llm} --host 0.0.0.0`, on('0.0.0.0:8080', mlxLm(llm))),
    apart: 'loopback',
    ...mlx,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a process that was started as mlx_lm.server and answers as a server of files',
    tree: run(`mlx_lm.server --model ${llm} --host 0.0.0.0 --port {a}`, on('0.0.0.0:{a}', fileServer())),
    ...mlx,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'mlx_lm.server that does not listen',
    tree: run(`mlx_lm.server --model ${llm} --port {a}`),
    ...mlx,
    endpoint: 'notListening',
    ready: false,
  },
];

const unknownTrees: readonly Row[] = [
  {
    title: 'a program of no known engine that names model and port',
    tree: run('python3 serve.py --model-path m --port {a}', on('0.0.0.0:{a}', webApplication())),
    engine: null,
    model: 'm',
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title: 'the same with a certificate',
    tree: run('python3 serve.py --model-path m --port {a}', on('0.0.0.0:{a}', webApplication(), { tls: true })),
    engine: null,
    model: 'm',
    endpoint: 'https://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title: 'a program that names nothing and listens',
    tree: run('python3 server.py', on('0.0.0.0:{a}', guarded())),
    engine: null,
    model: null,
    endpoint: 'unidentified',
    ready: 'serverUnknown',
  },
  {
    title: 'a program that names nothing and does not listen',
    tree: run('sleep infinity'),
    engine: null,
    model: null,
    endpoint: 'notListening',
    ready: 'notListening',
  },
  {
    title: 'a router alone, whose models are elsewhere',
    tree: run('/usr/bin/python3 /usr/local/bin/litellm --config c.yaml --port {a}', on('0.0.0.0:{a}', jsonApi())),
    engine: null,
    model: null,
    endpoint: 'http://{here}:{a}',
    ready: 'serverUnknown',
  },
  {
    title:
      'a program of no known engine in a namespace of its own, with a ready URL, and a stranger on that port outside',
    tree: run('python3 serve.py', on('127.0.0.1:{a}', health(200))),
    apart: 'loopback',
    readyUrl: 'http://localhost:{a}/ready',
    strangers: [run('python3 -m http.server', on('127.0.0.1:{a}', health(503)))],
    engine: null,
    model: null,
    endpoint: 'unidentified',
    ready: true,
  },
  {
    title: 'the same on ::1, and not ready',
    tree: run('python3 serve.py', on('::1:{a}', health(503))),
    apart: 'loopback',
    readyUrl: 'http://localhost:{a}/ready',
    strangers: [run('python3 -m http.server', on('::1:{a}', health(200)))],
    engine: null,
    model: null,
    endpoint: 'unidentified',
    ready: false,
  },
  {
    title: 'a ready URL on whose port a stranger listens, and the worker does not',
    tree: run('python3 serve.py', on('127.0.0.1:{b}', health(200))),
    readyUrl: 'http://127.0.0.1:{a}/ready',
    strangers: [run('python3 -m http.server', on('127.0.0.1:{a}', health(200)))],
    engine: null,
    model: null,
    endpoint: 'unidentified',
    ready: false,
  },
];

export const otherTrees = [...tritonTrees, ...trtllmTrees, ...lmdeployTrees, ...mlxTrees, ...unknownTrees];
