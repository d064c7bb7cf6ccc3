import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { SharedValues } from '../../lib/queen/shared-values.js';
import { gpuSample, workerSample } from './heartbeats.js';

const parsed = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe('values that items have in common', () => {
  it('are one object of equal labels and lists, and every item stays what it was', () => {
    const texts = fc.constantFrom('', 'vllm', '["a"]', '{}', 'x'.repeat(300));
    const labels = fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), texts, { maxKeys: 2 });
    const worker = fc.record({ command: fc.option(texts), endpoint: fc.option(texts), labels });
    fc.assert(
      fc.property(fc.array(worker, { maxLength: 20 }), (workers) => {
        const values = new SharedValues(workerFields);
        for (const each of workers) expect(values.share(parsed(each))).toEqual(parsed(each));
      }),
    );
    const values = new SharedValues(workerFields);
    const [first, second] = ['a/1', 'a/2'].map((id) =>
      values.share(parsed(workerSample(id, { command: 'vllm serve', labels: { engine: 'vllm' } }))),
    );
    expect(second!.labels).toBe(first!.labels);
    expect(second!.id).toBe('a/2');
    const gpus = new SharedValues(gpuFields);
    const [one, other] = ['GPU-0', 'GPU-1'].map((uuid) =>
      gpus.share(parsed(gpuSample(uuid, { throttleReasons: ['hwSlowdown'] }))),
    );
    expect(other!.throttleReasons).toBe(one!.throttleReasons);
  });

  it('however many there are, some are kept, and none is taken for another', () => {
    const values = new SharedValues(workerFields);
    for (let i = 0; i < 20_000; i++) {
      const { command } = values.share(workerSample('a/1', { command: `serve ${i}` }));
      expect(command).toBe(`serve ${i}`);
    }
    const labels = { engine: 'vllm' };
    values.share(workerSample('a/1', { labels }));
    expect(values.share(workerSample('a/2', { labels: { ...labels } })).labels).toBe(labels);
  });
});
