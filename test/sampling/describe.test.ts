import { describe, expect, it } from 'vitest';
import { describe as describeProcesses } from '../../lib/sampling/worker.js';
import { commandDisplay } from '../../lib/workers/shown-command.js';

const described = (argv: readonly string[]) =>
  describeProcesses([{ pid: 1, parentPid: 0, argv }], commandDisplay('safe')).serving.models;

describe('the names of a worker that leave the host', () => {
  it('hold no user, password or query, whichever of several it is', () => {
    const names = ['plain', 'https://bob:hunter2@host/m?sig=abc', 'org/m#key'];
    expect(described(['vllm', 'serve', '/m', '--served-model-name', ...names])).toEqual([
      'plain',
      'https://…@host/m',
      'org/m',
    ]);
  });

  it('are sixteen at most, each once', () => {
    const names = Array.from({ length: 40 }, (_, i) => `m${i >> 1}`);
    expect(described(['vllm', 'serve', '/m', '--served-model-name', ...names])).toEqual(
      Array.from({ length: 16 }, (_, i) => `m${i}`),
    );
  });
});
