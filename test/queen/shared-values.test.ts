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

  it('are kept up to 4,096, then anew; texts that no two items share take no place among them', () => {
    const shared = { engine: 'vllm' };
    const isKept = (values: SharedValues, others: number, item: (i: number) => object) => {
      values.share({ labels: shared });
      // Of nothing there is one value.
      for (let i = 0; i < 3; i++) values.share({ labels: null, models: null });
      for (let i = 0; i < others; i++) values.share(item(i));
      return values.share({ labels: { ...shared } }).labels === shared;
    };
    const command = (i: number) => ({ command: `serve ${i}` });
    expect(isKept(new SharedValues(workerFields), 4095, command)).toBe(true);
    expect(isKept(new SharedValues(workerFields), 4096, command)).toBe(false);
    const own = (i: number) => ({ id: `llm/${i}`, startedAt: `2026-01-02T03:04:05.${i}Z`, pid: i, state: `w${i}` });
    expect(isKept(new SharedValues(workerFields), 5000, own)).toBe(true);
    // What is long is not kept either, and what is there already takes no more.
    expect(isKept(new SharedValues(workerFields), 5000, (i) => ({ command: `${i} `.padEnd(257, 'x') }))).toBe(true);
    expect(isKept(new SharedValues(workerFields), 5000, (i) => ({ command: `serve ${i % 7}` }))).toBe(true);
  });

  it('are shared up to 256 characters', () => {
    const values = new SharedValues(workerFields);
    const listOf = (length: number) => ['x'.repeat(length - 4)];
    for (const [length, isShared] of [
      [256, true],
      [257, false],
    ] as const) {
      const models = listOf(length);
      values.share({ models });
      expect(values.share({ models: listOf(length) }).models === models).toBe(isShared);
    }
  });

  it('are not shared between a text and a list that reads like it, nor are lists of rows', () => {
    const values = new SharedValues(workerFields);
    const models = ['m'];
    values.share({ command: '["m"]' });
    expect(values.share({ models }).models).toBe(models);
    expect(values.share({ models: ['m'] }).models).toBe(models);
    expect(values.share({ command: '["m"]' }).command).toBe('["m"]');
    const gpus = () => [{ uuid: 'GPU-0', memoryUsedBytes: 1 }];
    const first = gpus();
    values.share({ gpus: first });
    expect(values.share({ gpus: gpus() }).gpus).not.toBe(first);
  });
});
