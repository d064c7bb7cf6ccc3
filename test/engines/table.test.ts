import { describe, expect, it } from 'vitest';
import { loadSources } from '../../lib/engines/load/table.js';
import { anyProgramOptions, keywords, shownOptions } from '../../lib/engines/shown-options.js';
import { type Engine, engineNamed, engines } from '../../lib/engines/table.js';

/** Whether the answer to the last of its questions shows that it is this engine. */
const is = (engine: Engine, json: unknown, status = 200): boolean =>
  engineNamed(engine).identity.at(-1)!.is({ status, json });

const models = (...entries: readonly object[]) => ({ object: 'list', data: entries });
const model = (over: object) => ({ id: 'm', object: 'model', ...over });

describe('an answer shows which engine it is of', () => {
  const tei = { model_id: 'BAAI/bge-m3', version: '1.7.0', model_type: { embedding: { pooling: 'cls' } } };
  const tgi = { model_id: 'org/m', version: '3.0.1', model_pipeline_tag: 'text-generation' };
  const triton = { name: 'triton', version: '2.54.0', extensions: ['classification'] };
  const loading = { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } };

  it.each<[Engine, unknown, number, boolean]>([
    ['vllm', { version: '0.11.0' }, 200, true],
    ['vllm', { version: 11 }, 200, false],
    ['sglang', { model_path: '/m/q' }, 200, true],
    ['sglang', { version: '0.5' }, 200, false],
    ['ollama', { version: '0.12.3' }, 200, true],
    ['tensorrt-llm', { version: '1.1.0' }, 200, true],
    ['llama-server', models(model({ owned_by: 'llamacpp' })), 200, true],
    ['llama-server', models(model({ owned_by: 'vllm' })), 200, false],
    ['llama-server', loading, 503, true],
    ['llama-server', loading, 500, false],
    ['llama-server', { error: { type: 'other' } }, 503, false],
    ['llama-server', models(model({ owned_by: 'llamacpp' })), 503, false],
    ['lmdeploy', models(model({ owned_by: 'lmdeploy' })), 200, true],
    ['lmdeploy', models(model({ owned_by: 'me' })), 200, false],
    ['llama-cpp-python', models(model({ owned_by: 'me' })), 200, true],
    ['llama-cpp-python', models(model({ owned_by: 'lmdeploy' })), 200, false],
    ['mlx-lm', models(), 200, true],
    ['mlx-lm', models(model({ created: 1 }), model({ id: 'n' })), 200, true],
    ['mlx-lm', models(model({}), model({ owned_by: 'vllm' })), 200, false],
    ['mlx-lm', models(model({}), model({ object: 'adapter' })), 200, false],
    ['mlx-lm', models(model({}), { id: 'n' }), 200, false],
    ['mlx-lm', models(model({})), 503, false],
    ['mlx-lm', { ...models(model({})), object: 'page' }, 200, false],
    ['mlx-lm', { object: 'list', data: 'none' }, 200, false],
    ['mlx-lm', { object: 'list' }, 200, false],
    ['text-embeddings', tei, 200, true],
    ['text-embeddings', tgi, 200, false],
    ['text-embeddings', { ...tgi, model_type: null }, 200, false],
    ['text-embeddings', { ...tgi, model_type: 'embedding' }, 200, false],
    ['text-embeddings', { model_id: 'm', model_type: {} }, 200, false],
    ['text-embeddings', tei, 500, false],
    ['text-generation', tgi, 200, true],
    ['text-generation', tei, 200, false],
    ['text-generation', { model_id: 'm' }, 200, false],
    ['text-generation', tgi, 404, false],
    ['tritonserver', triton, 200, true],
    ['tritonserver', { ...triton, extensions: 'all' }, 200, false],
    ['tritonserver', { ...triton, version: 2 }, 200, false],
    ['tritonserver', triton, 400, false],
  ])('%s: %j with status %i: %s', (engine, json, status, isIts) => {
    expect(is(engine, json, status)).toBe(isIts);
  });

  it('both of the questions of SGLang', () => {
    const questions = engineNamed('sglang').identity;
    expect(questions.map(({ path }) => path)).toEqual(['/model_info', '/get_model_info']);
    for (const question of questions) expect(question.is({ status: 200, json: { model_path: 'm' } })).toBe(true);
  });
});

describe('Unix sockets', () => {
  it.each([
    ['/run/llm.sock', true],
    ['/tmp/8f14e45f-ceea-467f-a8d3-0c6a1b2c3d4e', false],
    ['/tmp/8f14e45f-ceea-467f-a8d3-0c6a1b2c3d4e_extra', false],
    ['/tmp/8f14e45f-ceea-467f-a8d3-0c6a1b2c3d4e/api.sock', true],
    ['/tmp/pymp-x1/listener-0', false],
    ['/tmp/ray/session/sockets/raylet', false],
    ['/tmp/torchelastic/0', false],
  ])('vLLM serves at %s: %s', (path, serves) => expect(engineNamed('vllm').isUnixServer?.(path)).toBe(serves));

  it('of which engine, and whether an option asks for one', () => {
    expect(engines.filter(({ isUnixServer }) => isUnixServer !== undefined).map(({ name }) => name)).toEqual([
      'vllm',
      'llama-server',
    ]);
    expect(engineNamed('llama-server').isUnixServer?.('/any')).toBe(true);
    const asks = (engine: Engine, option: string, value: string) =>
      engineNamed(engine).arguments.isUnixSocket?.(option, value);
    expect([asks('vllm', '--uds', '/x'), asks('vllm', '--host', '/x')]).toEqual([true, false]);
    expect(asks('llama-server', '--host', '/run/x.sock')).toBe(true);
    expect(asks('llama-server', '--host', '127.0.0.1')).toBe(false);
    expect(asks('llama-server', '--alias', '/run/x.sock')).toBe(false);
  });
});

describe('what clients ask for, of a model that is given', () => {
  it.each<[Engine, string, string | null, readonly string[]]>([
    ['llama-server', '/m/x.gguf', '-m', ['x.gguf', '/m/x.gguf']],
    ['llama-server', '/m/x.gguf', '--model', ['x.gguf', '/m/x.gguf']],
    ['llama-server', 'https://host.test/d/x.gguf?sig=1#a', '-mu', ['x.gguf']],
    ['llama-server', 'https://host.test/d/x.gguf#a/b', '--model-url', ['x.gguf']],
    ['llama-server', 'org/x:Q4', '-hf', ['org/x:Q4']],
    ['llama-server', 'org/x', null, ['org/x']],
    ['tensorrt-llm', '/models/llama', null, ['llama']],
    ['tensorrt-llm', './llama/', null, ['llama']],
    ['tensorrt-llm', '../m/llama', null, ['llama']],
    ['tensorrt-llm', '~/llama', null, ['llama']],
    ['tensorrt-llm', 'org/llama', null, ['org/llama']],
    ['tensorrt-llm', '.../llama', null, ['.../llama']],
  ])('%s %s by %s: %j', (engine, name, option, names) => {
    expect(engineNamed(engine).arguments.namesOf?.(name, option)).toEqual(names);
  });

  it('a star is no model of Triton', () => {
    const { isName } = engineNamed('tritonserver').arguments;
    expect([isName?.('*'), isName?.('a*')]).toEqual([false, true]);
  });
});

describe('the table', () => {
  it('has each engine once, and one place that says how its load is read', () => {
    const names = engines.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(Object.keys(loadSources).sort()).toEqual([...names].sort());
    for (const name of names) expect(engineNamed(name).name).toBe(name);
    expect(names.filter((name) => loadSources[name] === null)).toEqual(['llama-cpp-python', 'mlx-lm']);
  });

  it('names options with the shape of their values', () => {
    expect([...shownOptions({ port: '--port -p', number: '--tp\n  --dp' })]).toEqual([
      ['--port', 'port'],
      ['-p', 'port'],
      ['--tp', 'number'],
      ['--dp', 'number'],
    ]);
    expect(anyProgramOptions.get('--model')).toBe('model');
    expect(anyProgramOptions.has('-m')).toBe(false);
    expect(keywords.has('bfloat16')).toBe(true);
  });
});
