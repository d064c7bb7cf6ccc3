import { expect, it } from 'vitest';
import { mayServeOnUnix, servesOnUnix } from '../../lib/sampling/unix-server.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { processOf } from './endpoints-world.js';

const vllm = processOf(3, 'vllm serve a');
const ollama = processOf(4, 'ollama serve');
const shell = processOf(5, 'sh');
const child = processOf(6, 'python3 -c multiprocessing.spawn.spawn_main(tracker_fd=9)');
const part = '/tmp/8e0c5b1e-4f0e-4a52-9d5b-0f3f6f1c2a77';

it('an engine that can, with what it started, may serve on a Unix socket', () => {
  expect(child.role.isRunner).toBe(true);
  expect(mayServeOnUnix([shell, vllm, child])).toEqual([vllm, child]);
  expect(mayServeOnUnix([ollama, vllm])).toEqual([ollama, vllm]);
  expect(mayServeOnUnix([ollama, child])).toEqual([]);
  expect(mayServeOnUnix([shell, child])).toEqual([]);
  expect(mayServeOnUnix([])).toEqual([]);
});

it('it does where its command names one, or it holds one at which it is known to serve', () => {
  const holding = (held: ReadonlyMap<KnownProcess, readonly string[]>) => (of: KnownProcess) => held.get(of) ?? [];
  const none = holding(new Map());
  expect(servesOnUnix([shell, processOf(7, 'vllm serve a --uds /run/a.sock')], none)).toBe(true);
  expect(servesOnUnix([shell, vllm], none)).toBe(false);
  expect(servesOnUnix([shell, ollama, vllm], holding(new Map([[vllm, [part, '/run/a.sock']]])))).toBe(true);
  expect(servesOnUnix([shell, vllm], holding(new Map([[vllm, [part]]])))).toBe(false);
  expect(servesOnUnix([vllm, child], holding(new Map([[child, ['/run/a.sock']]])))).toBe(true);
  expect(servesOnUnix([vllm, shell], holding(new Map([[shell, ['/run/a.sock']]])))).toBe(false);
  expect(servesOnUnix([ollama], holding(new Map([[ollama, ['/run/a.sock']]])))).toBe(false);
});
