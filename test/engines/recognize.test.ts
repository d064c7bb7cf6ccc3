import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roleOf, type Serving, serving } from '../../lib/engines/recognize.js';
import { recognize } from '../../lib/engines/start.js';
import { engines } from '../../lib/engines/table.js';
import { argv, tree } from './process-lines.js';

const served = (...lines: readonly string[]): Serving => serving(tree(lines));

describe('collect_parses_cmdline', () => {
  it.each([
    // line, engine, model, port
    ['vllm serve Qwen/Qwen2.5-7B-Instruct', 'vllm', 'Qwen/Qwen2.5-7B-Instruct', 8000],
    [
      '/usr/bin/python3 /usr/local/bin/vllm serve meta-llama/Llama-3.1-8B --port 8011',
      'vllm',
      'meta-llama/Llama-3.1-8B',
      8011,
    ],
    ['vllm serve /models/llama --served-model-name llama-3 --port=9000', 'vllm', 'llama-3', 9000],
    ['vllm serve --model X/Y --host 0.0.0.0', 'vllm', 'X/Y', 8000],
    ['vllm serve --tensor-parallel-size 2 --model=X/Y', 'vllm', 'X/Y', 8000],
    [
      'python -m vllm.entrypoints.openai.api_server --model mistralai/Mistral-7B --port 8080',
      'vllm',
      'mistralai/Mistral-7B',
      8080,
    ],
    ['python3.11 -u -X dev -m vllm.entrypoints.api_server --model=a/b', 'vllm', 'a/b', 8000],
    ['python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B --port 30001', 'sglang', 'Qwen/Qwen3-8B', 30_001],
    ['python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B', 'sglang', 'Qwen/Qwen3-8B', 30_000],
    ['/opt/llama.cpp/build/bin/llama-server -m /models/phi-4.gguf --port 8081', 'llama-server', 'phi-4.gguf', 8081],
    ['llama-server -m /models/phi-4.gguf --alias phi-4', 'llama-server', 'phi-4', 8080],
    ['llama-server -hf ggml-org/gemma-3-4b-it-GGUF:Q4_K_M', 'llama-server', 'ggml-org/gemma-3-4b-it-GGUF:Q4_K_M', 8080],
    [
      'text-generation-launcher --model-id bigscience/bloom-560m --port 8090',
      'text-generation',
      'bigscience/bloom-560m',
      8090,
    ],
    ['text-generation-launcher --model-id=bigscience/bloom-560m -p 81', 'text-generation', 'bigscience/bloom-560m', 81],
    ['trtllm-serve TinyLlama/TinyLlama-1.1B --port 8001', 'tensorrt-llm', 'TinyLlama/TinyLlama-1.1B', 8001],
    ['trtllm-serve serve TinyLlama/TinyLlama-1.1B', 'tensorrt-llm', 'TinyLlama/TinyLlama-1.1B', 8000],
    ['tritonserver --model-repository=/models --http-port=8100', 'tritonserver', null, 8100],
    ['ollama serve', 'ollama', null, 11_434],
    ['/usr/bin/ollama runner --model /root/.ollama/models/blobs/sha256-ab12 --port 41234', 'ollama', null, 11_434],
    ['tini -- vllm serve a/b', 'vllm', 'a/b', 8000],
    ['env CUDA_VISIBLE_DEVICES=0 python3 -m vllm.entrypoints.openai.api_server --model a/b', 'vllm', 'a/b', 8000],
    ['numactl --cpunodebind=0 llama-server -m x.gguf', 'llama-server', 'x.gguf', 8080],
    // a debug build of Python, clusters of its options, a module glued to its option
    ['python3.13t -um vllm.entrypoints.openai.api_server --model a/b --port 8014', 'vllm', 'a/b', 8014],
    ['python -mvllm.entrypoints.openai.api_server --model a/b --port 8015', 'vllm', 'a/b', 8015],
    ['python -W ignore -Xdev --check-hash-based-pycs always -I /bin/vllm serve a/b', 'vllm', 'a/b', 8000],
    // debuggers and profilers run it in their own process
    [
      'python -X dev -m debugpy --listen 0.0.0.0:5678 -m vllm.entrypoints.openai.api_server --model a/b --port 8016',
      'vllm',
      'a/b',
      8016,
    ],
    ['python -m cProfile -o /tmp/p -m sglang.launch_server --model-path a/b', 'sglang', 'a/b', 30_000],
    ['python /usr/bin/coverage run -m vllm.entrypoints.openai.api_server --model a/b', 'vllm', 'a/b', 8000],
    ['torchrun --nproc_per_node 4 -m sglang.launch_server --model-path a/b', 'sglang', 'a/b', 30_000],
    ['python -m debugpy --listen 5678 app.py', null, null, null],
    // loaders and emulators
    ['/lib64/ld-linux-x86-64.so.2 --library-path /x /usr/bin/llama-server -m x.gguf', 'llama-server', 'x.gguf', 8080],
    ['qemu-aarch64-static /usr/bin/llama-server -m x.gguf', 'llama-server', 'x.gguf', 8080],
    // Nix
    ['/nix/store/h-py/bin/python3.12 /nix/store/h-v/bin/.vllm-wrapped serve a/b --port 8017', 'vllm', 'a/b', 8017],
    ['/nix/store/h-ollama/bin/.ollama-wrapped serve', 'ollama', null, 11_434],
    // unknown programs
    ['node server.js --model gpt-x --port 5000', null, 'gpt-x', 5000],
    ['./engine --model=gpt-x', null, 'gpt-x', null],
    // -m is never a model of Python, nor of an unknown program
    ['python -m http.server', null, null, null],
    ['python -m uvicorn app:main --port 8000', null, null, 8000],
    ['stress -m 4', null, null, null],
    // what only mentions an engine is none
    ['grep vllm serve', null, null, null],
    ['vllm bench --model a/b', null, 'a/b', null],
    ['tail -f /var/log/ollama', null, null, null],
    ['python -c import vllm', null, null, null],
  ] as const)('%s', (line, engine, model, port) => {
    const { engine: found, models } = served(line);
    expect({ engine: found, model: models[0] ?? null }).toEqual({ engine, model });
    const role = roleOf(argv(line));
    expect(role.port ?? role.defaultPort).toBe(port);
    expect(role.engine).toBe(engine);
  });

  it('looks at all processes: the first is a shell, the engine core a helper that names nothing', () => {
    const found = served(
      'sh -c start.sh',
      '  /usr/bin/python3 /usr/local/bin/vllm serve org/model --port 8123',
      '    VLLM::EngineCore',
    );
    expect(found).toEqual({ engine: 'vllm', models: ['org/model'], process: 1 });
  });

  it('a role says no more than it knows', () => {
    const none = { engine: null, port: null, defaultPort: null };
    expect(roleOf(argv('vllm serve a --port 80'))).toEqual({
      role: 'engine',
      engine: 'vllm',
      port: 80,
      defaultPort: 8000,
    });
    expect(roleOf(argv('vllm serve a --uds /run/v.sock'))).toEqual({
      ...{ role: 'engine', engine: 'vllm', port: null, defaultPort: 8000, unixSocket: true },
    });
    const loadOf = (line: string) => roleOf(argv(line)).loadPort;
    expect([loadOf('tritonserver'), loadOf('tritonserver --metrics-port 9002')]).toEqual([8002, 9002]);
    expect(roleOf(argv('node_exporter'))).toEqual({ ...none, role: 'helper' });
    expect(roleOf(argv('python3 -c multiprocessing.spawn'))).toEqual({ ...none, role: 'helper', isRunner: true });
    expect(roleOf(argv('python3 -c multiprocessing.resource_tracker'))).toEqual({ ...none, role: 'helper' });
    expect(roleOf(argv('sleep 1'))).toEqual({ ...none, role: 'other' });
    expect(roleOf([])).toEqual({ ...none, role: 'other' });
  });

  it('of several engines a worker serves what all of them do, in whatever order', () => {
    const three = (...names: string[]) =>
      served('sh', ...names.map((list) => `vllm serve m --served-model-name ${list}`)).models;
    expect([
      three('a b', 'b a', 'a b'),
      three('a b', 'a c', 'a b'),
      three('a b', 'a', 'a b'),
      three('a', 'a b', 'a'),
    ]).toEqual([...[['a', 'b'], [], [], []]]);
  });

  it('a helper alone is still its engine, without a port', () => {
    expect(served('sglang::scheduler_TP0')).toMatchObject({ engine: 'sglang', models: [] });
    expect(roleOf(['sglang::scheduler_TP0'])).toMatchObject({ role: 'helper', port: null, defaultPort: null });
  });

  it('an option without value is none', () => {
    expect(served('vllm serve --model --port 80').models).toEqual([]);
    expect(roleOf(argv('vllm serve --model --port 80')).port).toBe(80);
    expect(roleOf(argv('vllm serve a --port 70000'))).toMatchObject({ port: null, defaultPort: 8000 });
  });

  it('of an unknown program an exact name is needed: --modelx and --model-pathology are other options', () => {
    expect(served('x --modelx a --model-pathology=b').models).toEqual([]);
  });

  it.each([
    ['ray::IDLE', 'helper'],
    ['/usr/bin/raylet --node_manager_port=1', 'helper'],
    ['python -m ray.dashboard.dashboard --port 8265', 'helper'],
    ['python3 -c from multiprocessing.spawn import spawn_main; spawn_main(1)', 'helper'],
    ['dcgm-exporter', 'helper'],
    ['VLLM::EngineCore_0', 'helper'],
    ['VLLM::APIServer_1', 'engine'],
    ['litellm --port 4000', 'router'],
    ['/usr/bin/python3 /usr/local/bin/litellm --port 4000', 'router'],
    ['python -m sglang_router.launch_server --port 30000', 'router'],
    ['nginx: master process nginx -g daemon off;', 'router'],
    ['vllm serve a/b', 'engine'],
    ['node app.js --port 1', 'other'],
    ['bash', 'other'],
  ] as const)('the role of %s is %s', (line, role) => {
    expect(roleOf(line.includes(': ') ? [line] : argv(line)).role).toBe(role);
  });

  it('each way to start an engine, wrapped, profiled or glued together, is still that engine', () => {
    const ways = engines.flatMap(({ name, starts }) =>
      starts.flatMap(({ programs = [], subcommands = [''] }) =>
        programs.flatMap((program) => subcommands.map((subcommand) => ({ name, program, subcommand }))),
      ),
    );
    const around: readonly ((path: string) => readonly string[])[] = [
      (path) => [path],
      (path) => ['/nix/store/h-python3/bin/python3.13t', path],
      (path) => ['python', '-Im', 'cProfile', '-o', '/tmp/p', path],
      (path) => ['/lib/ld-musl-x86_64.so.1', '--library-path', '/x', path],
      (path) => ['numactl', '-C', '3', 'nice', path],
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...ways),
        fc.constantFrom(...around),
        fc.constantFrom('', '/usr/bin/', './', '/opt/a b/'),
        fc.constantFrom('', '-wrapped', '-wrapped_'),
        ({ name, program, subcommand }, wrap, directory, wrapped) => {
          const path = `${directory}${wrapped === '' ? program : `.${program}${wrapped}`}`;
          const words = [...wrap(path), ...subcommand.split(' ').filter((word) => word !== '')];
          expect(recognize(words)?.engine).toBe(name);
        },
      ),
    );
  });

  it('any arguments give an answer', () => {
    const word = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom(
        'vllm',
        'serve',
        '-m',
        '--model',
        '--model=',
        'python3',
        'llama-server',
        '--',
        'env',
        '-hf',
        '--port',
        '8000',
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.array(word, { maxLength: 8 }), { maxLength: 4 }), (processes) => {
        const { process, models } = serving(
          processes.map((words, pid) => ({ pid, parentPid: (pid * 7) % 4, argv: words })),
        );
        if (process !== null) expect(processes[process]).toBeDefined();
        expect(models).not.toContain('');
        for (const one of processes) {
          recognize(one);
          const { port } = roleOf(one);
          if (port !== null) expect(port >= 1 && port <= 65_535).toBe(true);
        }
      }),
    );
  });
});
