import { llamaServer, ollama, sglang, textGeneration, vllm, webApplication } from '../../harness/fake-engines.js';
import type { FakeProcess } from '../../harness/process-tree.js';
import { on, type Row, run } from './row.js';

const llm = 'Qwen/Qwen2.5-7B-Instruct';
const vllmHere = { engine: 'vllm', model: llm } as const;
const serve = `/usr/bin/python3 /usr/local/bin/vllm serve ${llm}`;

/** What dockerd starts for a published port. Another program answers there, so that it shows if somebody asks it. */
const published = (host: string, port: string, container = '{inside}', inner = '8000'): FakeProcess =>
  run(
    `/usr/bin/docker-proxy -proto tcp -host-ip ${host} -host-port ${port} -container-ip ${container} -container-port ${inner} -use-listen-fd`,
    on(`${host}:${port}`, webApplication(), { v6Only: host === '::' }),
  );

const dockerTrees: readonly Row[] = [
  {
    title: 'a container whose port is published on all addresses',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    strangers: [published('0.0.0.0', '{a}')],
    ...vllmHere,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'a container whose port is published for IPv4 and IPv6',
    tree: run(
      `python3 -m sglang.launch_server --model-path ${llm} --host 0.0.0.0 --port 8000`,
      on('0.0.0.0:8000', sglang(llm)),
    ),
    apart: 'bridged',
    strangers: [published('::', '{a}'), published('0.0.0.0', '{a}')],
    engine: 'sglang',
    model: llm,
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'a container on :: whose port is published on one address of the host',
    tree: run('/usr/bin/ollama serve', on(':::11434', ollama('llama3.1:8b'))),
    apart: 'bridged',
    strangers: [published('{here}', '{a}', '{inside}', '11434')],
    engine: 'ollama',
    model: 'llama3.1:8b',
    endpoint: 'http://{here}:{a}',
    ready: true,
  },
  {
    title: 'a container with TLS, published twice',
    tree: run(`${serve} --ssl-keyfile k --ssl-certfile c`, on('0.0.0.0:8000', vllm(llm), { tls: true })),
    apart: 'bridged',
    strangers: [published('127.0.0.1', '{a}'), published('0.0.0.0', '{b}')],
    ...vllmHere,
    endpoint: 'https://{here}:{b}',
    ready: true,
  },
  {
    title: 'a container whose port is published on loopback',
    tree: run(
      'llama-server -m /models/m.gguf --alias m --host 0.0.0.0 --port 8000',
      on('0.0.0.0:8000', llamaServer('m')),
    ),
    apart: 'bridged',
    strangers: [published('127.0.0.1', '{a}')],
    engine: 'llama-server',
    model: 'm',
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'a container of which another port is published',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    strangers: [published('0.0.0.0', '{a}', '{inside}', '8001')],
    ...vllmHere,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a container beside one whose port is published',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    strangers: [published('0.0.0.0', '{a}', '192.0.2.9')],
    ...vllmHere,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a container and a process that only says that it publishes its port',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    strangers: [{ ...published('0.0.0.0', '{a}'), sockets: [] }],
    ...vllmHere,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title:
      'a published container that is not healthy, beside a healthy server of the host at the same address and port',
    tree: run(`${serve} --port {b}`, on('0.0.0.0:{b}', vllm(llm, 'unhealthy'))),
    apart: 'bridged',
    strangers: [
      published('0.0.0.0', '{a}', '{inside}', '{b}'),
      run('python3 -m vllm.entrypoints.openai.api_server --model other --port {b}', on('0.0.0.0:{b}', vllm('other'))),
    ],
    ...vllmHere,
    endpoint: 'http://{here}:{a}',
    ready: false,
  },
  {
    title:
      'a published container that accepts and never answers, beside a server of the host at the same address and port',
    tree: run(`${serve} --port {b}`, on('0.0.0.0:{b}', 'silent')),
    apart: 'bridged',
    strangers: [
      published('0.0.0.0', '{a}', '{inside}', '{b}'),
      run('python3 -m vllm.entrypoints.openai.api_server --model other --port {b}', on('0.0.0.0:{b}', vllm('other'))),
    ],
    ...vllmHere,
    endpoint: 'unidentified',
    ready: false,
  },
];

const forwarded: readonly Row[] = [
  {
    title: 'a container of rootless Podman or Docker, whose forwarder does not say where a port leads',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    strangers: [run('rootlessport', on('0.0.0.0:{a}', webApplication()))],
    ...vllmHere,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a container behind pasta',
    tree: run(`text-generation-launcher --model-id ${llm} --port 8000`, on('0.0.0.0:8000', textGeneration(llm))),
    apart: 'bridged',
    strangers: [
      run('/usr/bin/pasta --config-net -t {a}-{a}:8000-8000 -u none --no-map-gw', on('0.0.0.0:{a}', webApplication())),
    ],
    engine: 'text-generation',
    model: llm,
    endpoint: 'otherNamespace',
    ready: true,
  },
];

const podTrees: readonly Row[] = [
  {
    title: 'a pod with an address',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    pod: true,
    ...vllmHere,
    endpoint: 'http://{inside}:8000',
    ready: true,
  },
  {
    title: 'a pod that is bound to its own address',
    tree: run(`${serve} --host {inside}`, on('{inside}:8000', vllm(llm))),
    apart: 'bridged',
    pod: true,
    ...vllmHere,
    endpoint: 'http://{inside}:8000',
    ready: true,
  },
  {
    title: 'a pod with two addresses',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridgedTwice',
    pod: true,
    ...vllmHere,
    endpoint: 'otherNamespace',
    ready: true,
  },
  {
    title: 'a pod whose server listens on loopback',
    tree: run(`${serve} --host 127.0.0.1`, on('127.0.0.1:8000', vllm(llm))),
    apart: 'bridged',
    pod: true,
    ...vllmHere,
    endpoint: 'loopbackOnly',
    ready: true,
  },
  {
    title: 'a pod with a process that publishes its port as Docker would',
    tree: run(serve, on('0.0.0.0:8000', vllm(llm))),
    apart: 'bridged',
    pod: true,
    strangers: [published('0.0.0.0', '{a}')],
    ...vllmHere,
    endpoint: 'http://{inside}:8000',
    ready: true,
  },
];

export const containerTrees = [...dockerTrees, ...forwarded, ...podTrees];
