import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { engines } from '../../lib/engines/table.js';
import { commandDisplay, safeCommand, shownModel, shownOption, shownProgram } from '../../lib/workers/shown-command.js';

describe('what of a command line is shown', () => {
  it('is at most 256 characters', () => {
    const shown = safeCommand([
      'vllm',
      'serve',
      'acme/m',
      ...Array.from({ length: 60 }, () => ['--port', '8000']).flat(),
    ]);
    expect(shown).toHaveLength(256);
  });

  it.each([
    [['vllm', 'serve', 'acme/m', '--api-key', 'x', '--port', '8000'], 'vllm serve acme/m --api-key … --port 8000'],
    [['vllm', 'serve', '--model=acme/m', '--port=80 x', '-tp', '2'], 'vllm serve --model=acme/m --port=… -tp 2'],
    [
      ['/usr/bin/python3', '-m', 'vllm.entrypoints.openai.api_server', '--model', 'a/b', '--dtype', 'x'],
      'python3 -m vllm.entrypoints.openai.api_server --model a/b --dtype …',
    ],
    [
      ['env', 'HF_TOKEN=x', '/opt/v/bin/vllm', 'serve', 'a/b', '--max_model_len', '32k'],
      'env … vllm serve a/b --max-model-len 32k',
    ],
    [
      ['llama-server', '-m', '/m/x.gguf?sig=s', '-c', '8192', '-ngl', '-1', '--api-key-file', '/k'],
      'llama-server -m /m/x.gguf -c 8192 -ngl -1 --api-key-file …',
    ],
    [['bash', '-c', 'vllm --api-key A x'], 'bash -c …'],
    [['some-server', '--anything', 'x', '-px', 'http://u:x@h/?k=x'], 'some-server --… … -p… …'],
    [['env', 'curl', '-u', 'a:x'], 'env … -u …'],
    [
      ['python3', 'serve.py', '--model', 'acme/m', '--port', '8000', '--token=x'],
      'python3 … --model acme/m --port 8000 --token=…',
    ],
    [['VLLM::EngineCore_DP0'], 'VLLM::EngineCore_DP0'],
    [['VLLM::x'], 'VLLM::…'],
    [['x', '--', 'a', '--port', '1'], 'x -- …'],
  ])('%j', (argv, shown) => expect(safeCommand(argv)).toBe(shown));

  it.each([
    ['/usr/bin/server', 'server'],
    ['-bash', 'bash'],
    ['nginx: worker process x', 'nginx …'],
    ['KEY=x', '…'],
    ['http://u:p@h/x', '…'],
    ['/usr/bin/server --token ab/cd', 'server …'],
    ['', '…'],
  ])('the program of %j is %j', (text, shown) => expect(shownProgram(text)).toBe(shown));

  it.each([
    ['--api-key', '--api-key'],
    ['--secret=x', '--secret=…'],
    ['--token:x', '--…'],
    ['--hunter2', '--…'],
    ['-px', '-p…'],
    ['-1', '…'],
  ])('the option %j is %j', (word, shown) => expect(shownOption(word)).toBe(shown));

  it.each([
    ['acme/m', 'acme/m'],
    ['hf.co/a/b:Q4_K_M', 'hf.co/a/b:Q4_K_M'],
    ['org/m@main', 'org/m@main'],
    ['s3://bucket/m?X-Sig=x', 's3://bucket/m'],
    ['https://u:p/?x@w@h/m?k=s#f', 'https://…@h/m'],
    ['http://u:p', null],
    ['u:p@h/m', null],
    ['u:p?x@h', null],
    ['token=x', null],
    ['a b', null],
    ['./models/x.gguf', './models/x.gguf'],
    ['/root/.cache/m', '/root/.cache/m'],
    ['/m/sk-proj-abcdefgh12345678', '/m/[redacted]'],
  ])('the model %j is %j', (text, shown) => expect(shownModel(text)).toBe(shown));

  it('modes: full hides what looks like a secret, none is nothing', () => {
    const argv = ['x', '--name', 'y', '--token', 'z'];
    expect(commandDisplay('full')(argv)).toBe('x --name y --token [redacted]');
    expect(commandDisplay('safe')(argv)).toBe('x --name … --token …');
    expect(commandDisplay('none')(argv)).toBeNull();
  });

  it('each option that names a model, a served name or a port has that shape in the table of its engine', () => {
    for (const { name, arguments: named, shown } of engines) {
      for (const option of [...named.model, ...named.servedName])
        expect([name, option, shown.get(option.replaceAll('_', '-'))]).toEqual([name, option, 'model']);
      for (const option of named.port) expect([name, option, shown.get(option)]).toEqual([name, option, 'port']);
    }
  });

  it('any words at all: nothing throws, and the length is bounded', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 80 }), { maxLength: 40 }), (argv) => {
        expect(safeCommand(argv).length).toBeLessThanOrEqual(256);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
        expect(safeCommand(argv)).not.toMatch(/[\u0000-\u001f]/);
      }),
    );
  });
});
