import { describe, expect, it } from 'vitest';
import { isHelper, isModelSwap, isRouter, isRunner } from '../../lib/engines/neighbours.js';
import { isPython, programName, recognize } from '../../lib/engines/start.js';
import { argv } from './process-lines.js';

const api = 'vllm.entrypoints.openai.api_server';

describe('programs', () => {
  it.each([
    ['python', true],
    ['python3.13t', true],
    ['python3.12d', true],
    ['pypy3.10', true],
    ['xpython3', false],
    ['python3x', false],
    ['python3-config', false],
  ])('%s is Python: %s', (name, is) => expect(isPython(name)).toBe(is));

  it.each([
    ['/nix/store/x/bin/.vllm-wrapped', 'vllm'],
    ['.vllm-wrapped__', 'vllm'],
    ['.vllm-wrappedx', '.vllm-wrappedx'],
    ['x.vllm-wrapped', 'x.vllm-wrapped'],
    ['/usr/bin/vllm', 'vllm'],
  ])('%s is called %s', (path, name) => expect(programName(path)).toBe(name));
});

describe('what a command line starts', () => {
  const of = (line: string) => recognize(argv(line));

  it('has its own arguments behind its program, its module or its subcommand', () => {
    const plain = { positionalModel: false, firstModel: false, isTitle: false };
    expect(of('llama-server -m x')).toEqual({ ...plain, engine: 'llama-server', from: 1 });
    expect(of('vllm serve m')).toEqual({ ...plain, engine: 'vllm', from: 2, positionalModel: true, firstModel: true });
    expect(of(`python -m ${api} --model m`)).toEqual({ ...plain, engine: 'vllm', from: 3 });
    expect(of(`python -m${api} --model m`)).toMatchObject({ engine: 'vllm', from: 2 });
    expect(of(`python3 -X dev -W ignore -u /opt/${api.replaceAll('.', '/')}.py --model m`)).toMatchObject({
      engine: 'vllm',
      from: 7,
    });
    expect(of(`torchrun -m ${api} --model m`)).toMatchObject({ engine: 'vllm', from: 3 });
    expect(recognize(['VLLM::EngineCore', 'x'])).toEqual({ ...plain, engine: 'vllm', from: 2, isTitle: true });
  });

  it.each([
    ['env'],
    ['env A=1 B=2'],
    ['bash vllm serve m'],
    ['python -c vllm serve m'],
    ['python -cvllm serve m'],
    ['python x.py vllm serve m'],
    ['python'],
    ['python -u'],
    [`torchrun ${api}`],
    ['python -m cProfile -o/tmp/vllm serve m'],
    ['lmdeploy serve x'],
    ['lmdeploy x api_server'],
    ['vllm bench m'],
    ['undefined'],
  ])('%s is no engine', (line) => expect(of(line)).toBeNull());

  it('may stand among the first words of what runs it, and no further', () => {
    const engineBehind = (start: readonly string[], words: number) =>
      recognize([...start, ...Array.from({ length: words }, (_unused, i) => `A${i}=1`), 'vllm', 'serve', 'm'])
        ?.engine ?? null;
    expect([engineBehind(['env'], 0), engineBehind(['env'], 22), engineBehind(['env'], 23)]).toEqual([
      'vllm',
      'vllm',
      null,
    ]);
    const profiled = ['python', '-m', 'cProfile'];
    expect([engineBehind(profiled, 0), engineBehind(profiled, 22), engineBehind(profiled, 23)]).toEqual([
      'vllm',
      'vllm',
      null,
    ]);
    expect(of(`python -m debugpy --listen 5678 --wait-for-client -m ${api} --model m`)?.engine).toBe('vllm');
    expect(of('python /usr/bin/kernprof -l vllm serve m')?.engine).toBe('vllm');
  });
});

describe('what runs beside an engine', () => {
  it.each([
    ['litellm', true],
    ['node /opt/litellm', true],
    ['node18.2 /opt/litellm', true],
    ['ruby3 --yjit /opt/litellm', true],
    ['python3 -u /opt/litellm', true],
    ['bash /opt/litellm', false],
    ['xnode /opt/litellm', false],
    ['nodex /opt/litellm', false],
    ['node- /opt/litellm', false],
    ['node', false],
    ['lmdeploy serve proxy', true],
    ['lmdeploy serve proxy --server-port 8000', true],
    ['/usr/bin/python3 /usr/bin/lmdeploy serve proxy', true],
    ['lmdeploy serve api_server proxy', false],
    ['lmdeploy proxy', false],
    ['trtllm-serve disaggregated -c x.yaml', true],
    ['python /opt/trtllm-serve disaggregated', true],
    ['trtllm-serve serve disaggregated', false],
    ['llama-swap', true],
  ])('%s passes requests on: %s', (line, is) => expect(isRouter(argv(line))).toBe(is));

  it('no words are nothing', () => {
    expect([isRouter([]), isHelper([]), isRunner([]), isModelSwap([])]).toEqual([false, false, false, false]);
  });

  it('a part of Python is known by its first words, not by its program or what is far behind', () => {
    const spawned = 'from multiprocessing.spawn import spawn_main';
    const behind = (words: number) => ['python3', ...Array.from({ length: words }, () => 'x'), spawned];
    for (const is of [isHelper, isRunner])
      expect([is(behind(0)), is(behind(4)), is(behind(5)), is([spawned])]).toEqual([true, true, false, false]);
    expect(isRunner(['python3', '-c', 'multiprocessing.resource_tracker'])).toBe(false);
    expect([isModelSwap(['/usr/bin/llama-swap']), isModelSwap(['nginx'])]).toEqual([true, false]);
  });
});
