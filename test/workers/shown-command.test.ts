import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { engines } from '../../lib/engines/table.js';
import { commandDisplay, safeCommand, shownModel, shownOption, shownProgram } from '../../lib/workers/shown-command.js';
import { anyLetter } from '../harness/any-letter.js';

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
    [['vllm', 'serve'], 'vllm serve'],
    [['vllm', 'serve', '', '--port', '1'], 'vllm serve … --port 1'],
    [
      ['env', '/opt/p/python3', '-m', 'vllm.entrypoints.openai.api_server', '--port', '1'],
      'env python3 -m vllm.entrypoints.openai.api_server --port 1',
    ],
    [
      ['vllm', 'serve', 'a/b', '--port', '8e3', '--host', 'my-host.example'],
      'vllm serve a/b --port … --host my-host.example',
    ],
    [
      ['vllm', 'serve', 'a/b', '--host', '!a.example', '--max-model-len', '12.25k'],
      'vllm serve a/b --host … --max-model-len 12.25k',
    ],
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

  it('is worked out once for a command line', () => {
    const argv = ['vllm', 'serve', 'a/b'];
    const show = commandDisplay('safe');
    expect(show(argv)).toBe('vllm serve a/b');
    argv.push('--port', '1');
    expect(show(argv)).toBe('vllm serve a/b');
    expect(show([...argv])).toBe('vllm serve a/b --port 1');
  });

  it('the user of an address is never shown, whatever it looks like', () => {
    expect(['https://tok/en@host/m', 'https://@h/m', 'https://u:p@h/m', '@x', 'u:p@h/m'].map(shownModel)).toEqual([
      ...['https://…@host/m', 'https://…@h/m', 'https://…@h/m', null, null],
    ]);
    expect(shownModel('org/model@main')).toBe('org/model@main');
  });

  it('a wrapper is shown as what it wraps, and what is no option as nothing', () => {
    expect(shownProgram('/nix/store/abc/bin/.python3.12-wrapped')).toBe('python3.12');
    expect(['-x--port', '-x--port=1', 'x-a', 'x--port'].map(shownOption)).toEqual(['-x…', '-x…', '…', '…']);
  });

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
      fc.property(fc.array(fc.string({ unit: anyLetter, maxLength: 80 }), { maxLength: 40 }), (argv) => {
        expect(safeCommand(argv).length).toBeLessThanOrEqual(256);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
        expect(safeCommand(argv)).not.toMatch(/[\u0000-\u001f]/);
      }),
    );
  });
});

describe('what of a word is shown, at the edges of its shape', () => {
  const served = (...options: string[]) =>
    safeCommand(['vllm', 'serve', 'a/b', ...options]).slice('vllm serve a/b '.length);

  it.each([
    ['--port 65535', '--port 65535'],
    ['--port 65536', '--port …'],
    ['--port 123456', '--port …'],
    ['--port -1', '--port …'],
    ['--port=0', '--port=0'],
    ['--port --host h', '--port --host h'],
    ['--port', '--port'],
    ['--gpu-memory-utilization 0.95', '--gpu-memory-utilization 0.95'],
    ['--gpu-memory-utilization 1.12345', '--gpu-memory-utilization …'],
    ['--max-model-len 32k', '--max-model-len 32k'],
    ['--max-model-len 4Ki', '--max-model-len 4Ki'],
    ['--max-model-len auto', '--max-model-len auto'],
    ['--max-model-len -1', '--max-model-len -1'],
    ['--max-model-len 32x', '--max-model-len …'],
    ['--max-model-len 1234567890', '--max-model-len …'],
    ['--host 0.0.0.0', '--host 0.0.0.0'],
    ['--host ::1', '--host ::1'],
    ['--host [::1]', '--host [::1]'],
    ['--host *', '--host *'],
    ['--host fe80::1%eth0', '--host fe80::1%eth0'],
    ['--host a-', '--host …'],
    ['--dtype bfloat16', '--dtype bfloat16'],
    ['--dtype BFLOAT16', '--dtype BFLOAT16'],
    ['--dtype hunter2', '--dtype …'],
    ['x y --port 1', '… --port 1'],
    ['--api-key a --api-key b', '--api-key … --api-key …'],
    ['-tp 2 -tp=4', '-tp 2 -tp=4'],
    ['--', '--'],
    ['-- x', '-- …'],
  ])('vllm serve a/b %s', (options, shown) => expect(served(...options.split(' '))).toBe(shown));

  it.each([
    [['VLLM::Worker_TP0_DP12'], 'VLLM::Worker_TP0_DP12'],
    [['VLLM::Worker_TP1234'], 'VLLM::Worker_TP123…'],
    [['VLLM::EngineCore x'], 'VLLM::EngineCore…'],
    [['python3', '/opt/vllm/entrypoints/openai/api_server.py', '--port', '1'], 'python3 api_server.py --port 1'],
    [['uv', 'run', 'vllm', 'serve', 'a/b'], 'uv … vllm serve a/b'],
    [
      ['python3.11', '-u', '-m', 'sglang.launch_server', '--model-path', 'a/b'],
      'python3.11 -u -m sglang.launch_server --model-path a/b',
    ],
    [['/usr/bin/env', 'python3', '/usr/local/bin/vllm', 'serve', 'm'], 'env python3 vllm serve m'],
    [['vllm', 'serve', '-x'], 'vllm serve -x'],
    [['vllm', 'serve', ''], 'vllm serve …'],
    [['vllm', 'serve', 'a b'], 'vllm serve …'],
    [['ollama', 'serve'], 'ollama serve'],
    [['sh', '-c', 'x', '-c'], 'sh -c … -c'],
    [[], '…'],
  ])('%j', (argv, shown) => expect(safeCommand(argv)).toBe(shown));

  it.each([
    ['--port=', '--port=…'],
    ['--port', '--port'],
    ['--max_model_len', '--max_model_len'],
    ['--max-model-lenx', '--…'],
    ['--hunter-port', '--…'],
    ['--port-port', '--port-port'],
    ['-p', '-p'],
    ['-ngl', '-ngl'],
    ['-nglx', '-n…'],
    ['--', '…'],
    ['-', '…'],
    ['-é', '…'],
    ['x', '…'],
  ])('the option %j is %j', (word, shown) => expect(shownOption(word)).toBe(shown));

  it.each([
    ['~/m', '~/m'],
    ['../m', '../m'],
    ['.hidden/m', '.hidden/m'],
    ['C:\\m', 'C:\\m'],
    ['org/m@rev/x', 'org/m@rev/x'],
    ['m@main', null],
    ['s3://b', 's3://b'],
    ['https://h:8080/m', 'https://h:8080/m'],
    ['https://h:80a/m', null],
    ['https://h:123456/m', null],
    ['https://a:b:1/m', null],
    ['-x', null],
    ['', null],
    ['a'.repeat(512), 'a'.repeat(512)],
    ['a'.repeat(513), `${'a'.repeat(511)}…`],
  ])('the model %j is %j', (text, shown) => expect(shownModel(text)).toBe(shown));

  it.each([
    ['a b', 'a …'],
    ['/x/y: z', 'y …'],
    ['srv:\tworker', 'srv …'],
    ['a: ', 'a …'],
    ['./x', 'x'],
    ['../bin/x', 'x'],
    ['/opt/é/x', 'x'],
    ['a'.repeat(64), 'a'.repeat(64)],
    ['a'.repeat(65), '…'],
    [`${'a'.repeat(65)} x`, '…'],
    ['@x', '…'],
    [': x', '…'],
    ['x:y z', '…'],
    ['--bash', '…'],
    ['-', '…'],
  ])('the program of %j is %j', (text, shown) => expect(shownProgram(text)).toBe(shown));
});
