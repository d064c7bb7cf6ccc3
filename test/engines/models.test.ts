import { describe, expect, it } from 'vitest';
import { readCommand } from '../../lib/engines/command.js';
import { roleOf, serving } from '../../lib/engines/recognize.js';
import { argv, tree } from './process-lines.js';

describe('the names of a model are those that clients use', () => {
  it.each([
    // vLLM: argparse, with `_` for `-`; several names; the model first, or behind options that are known
    ['vllm serve /models/q --served-model-name qwen', ['qwen']],
    ['vllm serve /models/q --served-model-name qwen qwen-chat best', ['qwen', 'qwen-chat', 'best']],
    ['vllm serve /models/q --served-model-name qwen best --port 8001', ['qwen', 'best']],
    ['vllm serve /models/q --served_model_name qwen best', ['qwen', 'best']],
    ['vllm serve /models/q --served-model qwen', ['qwen']],
    ['vllm serve /models/q --served_model=qwen', ['qwen']],
    ['vllm serve /models/q --served-model-name=qwen', ['qwen']],
    ['vllm serve /models/q --served-model-name a --served-model-name b c', ['b', 'c']],
    // `--se` may be `--seed` as well: the parser refuses it, and nothing is said
    ['vllm serve /models/q --se qwen', ['/models/q']],
    ['vllm serve --tensor-parallel-size 2 --enforce-eager org/model', ['org/model']],
    ['vllm serve --tensor_parallel_size=2 org/model --port 8001', ['org/model']],
    ['vllm serve -tp 2 org/model', ['org/model']],
    ['vllm serve -O3 --no-enable-log-requests org/model', ['org/model']],
    ['vllm serve --speculative-config.model org/draft org/model', ['org/model']],
    ['vllm serve --max-model-len -1 org/model', ['org/model']],
    ['vllm serve --port 8001 -- org/model', ['org/model']],
    // not known whether the word is the model or the value of the option
    ['vllm serve --no-such-option org/model', []],
    ['vllm serve --enable-prefix-caching org/model', []],
    ['vllm serve --no-such-option x --port 8001 org/model', ['org/model']],
    ['vllm serve --no-such-option x --model org/model', ['org/model']],
    // the words behind a list are all of the list
    ['vllm serve --served-model-name a org/model', ['a', 'org/model']],
    // `vllm serve` moves the first --model to the front; the module has argparse alone
    ['vllm serve --model a --model b', ['a']],
    ['python -m vllm.entrypoints.openai.api_server --model a --model b', ['b']],
    ['python -m vllm.entrypoints.openai.api_server --model /m/q --served-model-name q q2', ['q', 'q2']],
    // SGLang: argparse
    ['python -m sglang.launch_server --model-path /m/q --served-model-name q', ['q']],
    ['python -m sglang.launch_server --model-p /m/q --served q', ['q']],
    ['python -m sglang.launch_server --model /m/q', ['/m/q']],
    ['sglang serve org/model --port 30001', ['org/model']],
    ['python -m sglang.launch_server --model-path /m/q --served_model_name q', ['/m/q']],
    // llama-server: no prefixes, no `=`; an alias may be several; a file has its name, and its path to older ones
    ['llama-server -m /m/x.gguf --alias a,b', ['a', 'b']],
    ['llama-server -m /m/x.gguf -a a', ['a']],
    ['llama-server -m /m/x.gguf --ali a', ['x.gguf', '/m/x.gguf']],
    ['llama-server -m /m/x.gguf --alias=a', ['x.gguf', '/m/x.gguf']],
    ['llama-server --hf_repo org/model:Q4', ['org/model:Q4']],
    ['llama-server -mu https://host.test/dir/x.gguf?sig=1', ['x.gguf']],
    ['llama-server --api-key --alias -m x.gguf', ['x.gguf']],
    ['llama-server --models-dir /m', []],
    // blobs are no names
    ['llama-server --model /root/.ollama/models/blobs/sha256-0a1b2c3d4e5f --port 41231', []],
    ['llama-server -m /models/blobs/sha256/0a1b2c3d4e5f/model', []],
    ['vllm serve /cache/blobs/0a1b2c3d4e5f6071', []],
    ['ollama runner --model /root/.ollama/models/blobs/sha256-0a1b2c', []],
    ['llama-server -m /m/sha256-x.gguf', ['sha256-x.gguf', '/m/sha256-x.gguf']],
    // TGI and TEI: clap
    ['text-generation-launcher --model-id=org/model -p81', ['org/model']],
    ['text-generation-launcher --model org/model', []],
    ['text-generation-router --tokenizer-name org/model --port 3000', ['org/model']],
    ['python3 /opt/conda/bin/text-generation-server serve org/model --uds-path /tmp/s', ['org/model']],
    ['text-generation-server download-weights org/model', []],
    ['text-embeddings-router --model-id BAAI/bge-m3 --port 8085', ['BAAI/bge-m3']],
    ['text-embeddings-router --model-id BAAI/bge-m3 --served-model-name bge', ['bge']],
    // TensorRT-LLM: click; a directory is called by its name
    ['trtllm-serve org/model --port 8001', ['org/model']],
    ['trtllm-serve serve /models/llama/ --tp_size 2', ['llama']],
    ['trtllm-serve --tp_size 2 --trust_remote_code org/model', ['org/model']],
    ['trtllm-serve serve /models/llama --served_model_name l3', ['l3']],
    ['trtllm-serve serve /models/llama --served_model l3', ['llama']],
    ['trtllm-serve disaggregated -c x.yaml', []],
    // Triton: getopt_long
    ['tritonserver --model-repository=/m --model-control-mode explicit --load-model a --load-model=b', ['a', 'b']],
    ['tritonserver --model-repository=/m --load-mod a', ['a']],
    ['tritonserver --model-repository=/m --load-model=*', []],
    // LMDeploy: argparse
    ['lmdeploy serve api_server org/model --server-port 23334', ['org/model']],
    ['lmdeploy serve api_server --tp 2 --api-keys a b --model-n m org/model', ['m']],
    ['python -m lmdeploy serve api_server --tp 2 org/model', ['org/model']],
    ['lmdeploy serve proxy --server-port 8000', []],
    ['lmdeploy chat org/model', []],
    // llama-cpp-python: argparse, names with `_`
    ['python -m llama_cpp.server --model /m/x.gguf --n_gpu_layers -1', ['/m/x.gguf']],
    ['python -m llama_cpp.server --model /m/x.gguf --model_alias x', ['x']],
    ['python -m llama_cpp.server --model /m/x.gguf --model-alias x', ['/m/x.gguf']],
    // MLX
    ['mlx_lm.server --model mlx-community/x --port 8081', ['mlx-community/x']],
    ['python -m mlx_lm server --mod mlx-community/x', ['mlx-community/x']],
  ] as const)('%s', (line, models) => {
    expect(readCommand(argv(line)).models).toEqual(models);
  });

  it.each([
    ['vllm serve m --port 8001', 8001, 8000],
    ['vllm serve m --por 8001', 8001, 8000],
    ['vllm serve m --po 8001', null, 8000],
    ['text-generation-launcher -p81', 81, 3000],
    ['text-embeddings-router --model-id m -p=81', 81, 3000],
    ['lmdeploy serve api_server m', null, 23_333],
    ['lmdeploy serve api_server m --server-p 23334', 23_334, 23_333],
    ['python -m llama_cpp.server --model m --port=8001', 8001, 8000],
    ['mlx_lm.server --por 8081', 8081, 8080],
    ['tritonserver --http-p 8100', 8100, 8000],
    ['trtllm-serve m --por 8001', null, 8000],
    ['llama-server --port=8081', null, 8080],
  ] as const)('port by argument, by the same rules: %s', (line, port, defaultPort) => {
    expect(roleOf(argv(line))).toMatchObject({ port, defaultPort });
  });
});

describe('engine and names of a worker by the parentage of its processes', () => {
  it.each([
    ['one server', ['vllm serve m', '  VLLM::EngineCore', '  VLLM::Worker_TP0'], 'vllm', ['m']],
    ['an init that runs it', ['tini -- vllm serve m', '  vllm serve m'], 'vllm', ['m']],
    ['a helper whose server is not its parent', ['VLLM::EngineCore', 'vllm serve m'], 'vllm', ['m']],
    [
      'Ollama with the server that it starts',
      ['ollama serve', '  llama-server --model /root/.ollama/models/blobs/sha256-0a1b2c --port 41231'],
      'ollama',
      [],
    ],
    ['Ollama, whatever its server is called', ['ollama serve', '  llama-server -m x.gguf --alias x'], 'ollama', []],
    ['a router and one engine', ['litellm --port 4000', '  vllm serve m --port 43091'], 'vllm', ['m']],
    [
      'a router and two of the same',
      ['python -m sglang_router.launch_server', '  vllm serve m --port 1', '  vllm serve m --port 2'],
      'vllm',
      ['m'],
    ],
    ['a router and two others', ['nginx', '  vllm serve a --port 1', '  vllm serve b --port 2'], 'vllm', []],
    ['a router and other engines', ['nginx', '  vllm serve a', '  llama-server -m b'], null, []],
    [
      'a manager that starts what is asked for',
      ['llama-swap --config c.yaml', '  llama-server --alias a', '  llama-server --alias b,c'],
      'llama-server',
      ['a', 'b', 'c'],
    ],
    ['a manager with other engines', ['llama-swap', '  vllm serve a', '  llama-server -a b'], null, ['a', 'b']],
    ['a manager that has started none', ['llama-swap --config c.yaml'], null, []],
    [
      'llama-server as a router',
      ['llama-server --models-dir /m', '  llama-server --alias a --port 1', '  llama-server --alias b --port 2'],
      'llama-server',
      ['a', 'b'],
    ],
    [
      'a launcher that has its model from its environment',
      ['text-generation-launcher', '  text-generation-router --tokenizer-name m', '  text-generation-server serve m'],
      'text-generation',
      ['m'],
    ],
    ['two servers that nothing joins', ['bash run.sh', '  vllm serve a', '  vllm serve b --port 1'], 'vllm', []],
    ['a parent that is its own child', ['vllm serve m'], 'vllm', ['m']],
    ['a program that is no known engine', ['bash run.sh', '  ./serve --model m', '  ./serve --model n'], null, ['m']],
  ] as const)('%s', (_, lines, engine, models) => {
    const found = serving(tree(lines));
    expect({ engine: found.engine, models: found.models }).toEqual({ engine, models });
  });

  it('parents that lead in a circle end nowhere', () => {
    const processes = [
      { pid: 2, parentPid: 3, argv: argv('vllm serve m') },
      { pid: 3, parentPid: 2, argv: argv('vllm serve m') },
    ];
    expect(serving(processes)).toMatchObject({ engine: 'vllm', models: ['m'] });
  });
});
