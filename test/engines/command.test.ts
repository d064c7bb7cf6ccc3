import { describe, expect, it } from 'vitest';
import { readCommand } from '../../lib/engines/command.js';

const models = (...words: readonly string[]) => readCommand(words).models;

describe('what a command line says', () => {
  it('is nothing but the engine of a title, and nothing of no words', () => {
    expect(readCommand(['VLLM::EngineCore --port 80'])).toEqual({
      engine: 'vllm',
      isTitle: true,
      models: [],
      port: null,
    });
    expect(readCommand([])).toEqual({ engine: null, isTitle: false, models: [], port: null });
    expect(readCommand(['./serve', '--model', 'm', '--port', '81'])).toEqual({
      ...{ engine: null, isTitle: false, models: ['m'], port: 81 },
    });
  });

  it.each([
    ['1', 1],
    ['65535', 65_535],
    ['00080', 80],
    ['0', null],
    ['65536', null],
    ['99999', null],
    ['100000', null],
    ['x80', null],
    ['80x', null],
    ['-1', null],
    ['1e3', null],
    ['0x50', null],
    [' 80', null],
    ['', null],
  ])('a port of %j is %s', (text, port) => {
    expect(readCommand(['llama-server', '--port', text]).port).toBe(port);
  });

  it('has no port where it names none, and where the last word is its option', () => {
    expect(readCommand(['llama-server']).port).toBeNull();
    expect(readCommand(['llama-server', '--port']).port).toBeNull();
    expect(readCommand(['llama-server', '--port', '80', '--port', '']).port).toBe(80);
  });

  it('has a port of its load where that is one of its own', () => {
    expect(readCommand(['tritonserver', '--model-repository=/m']).loadPort).toBe(8002);
    expect(readCommand(['tritonserver', '--metrics-port=9000']).loadPort).toBe(9000);
    expect(readCommand(['tritonserver', '--metrics-port=x']).loadPort).toBe(8002);
    expect(readCommand(['llama-server'])).not.toHaveProperty('loadPort');
  });

  it('listens on a Unix socket where an option of it says so', () => {
    expect(readCommand(['llama-server', '--port', '80', '--host', '/run/x.sock', '-m', 'm']).unixSocket).toBe(true);
    expect(readCommand(['vllm', 'serve', 'm', '--uds', '/run/x']).unixSocket).toBe(true);
    for (const argv of [
      ['llama-server'],
      ['llama-server', '--host', '0.0.0.0'],
      ['llama-server', '--host'],
      ['ollama', 'serve'],
    ])
      expect(readCommand(argv)).not.toHaveProperty('unixSocket');
  });
});

describe('names of models', () => {
  it('are without blanks around them, each once, and none is empty', () => {
    expect(models('llama-server', '--alias', ' a ,,b, a')).toEqual(['a', 'b']);
    expect(models('llama-server', '-m', 'x', '--alias', ' ')).toEqual(['x']);
    expect(models('vllm', 'serve', '/m', '--served-model-name', ' q ')).toEqual(['q']);
    expect(models('trtllm-serve', 'serve', '/')).toEqual([]);
    expect(models('vllm', 'serve', '')).toEqual([]);
  });

  it('are those of the last option that has a value', () => {
    expect(models('llama-server', '-m', 'a', '-m', '')).toEqual(['a']);
    expect(models('llama-server', '-m', 'a', '-m')).toEqual(['a']);
    expect(models('llama-server', '-m', 'a', '-m', 'b')).toEqual(['b']);
    expect(models('llama-server', '-m')).toEqual([]);
  });

  it.each(['sha256-0a1b2c', 'sha256:0A1B', '/x/sha256/0a1b', 'blobs/0a1b2c/model'])(
    'are none of a blob: %s',
    (name) => {
      expect(models('llama-server', '-m', name)).toEqual([]);
      expect(models('vllm', 'serve', '/m', '--served-model-name', name)).toEqual([]);
    },
  );

  it.each(['my-sha256-0a1b', 'xblobs/0a1b', 'sha256-0a1', 'sha256-0a1bg'])('may look alike: %s', (name) => {
    expect(models('vllm', 'serve', '/m', '--served-model-name', name)).toEqual([name]);
  });
});
