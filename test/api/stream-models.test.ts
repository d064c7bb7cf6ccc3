import { expect, it } from 'vitest';
import { StreamGroup } from '../../lib/api/stream-group.js';
import { StreamRows } from '../../lib/api/stream-rows.js';
import type { EventHead } from '../../lib/queen/events.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';

it('a reader of one model sees a worker, and events about it, by any of its names', () => {
  const registry = new Registry({ clock: () => 0 });
  const workers = [workerOf('llm/0', { model: 'm', models: ['m', 'alias'] }), workerOf('llm/1', { model: 'n' })];
  registry.heartbeat(heartbeatOf('a', 1, { workers }));
  const wants = (model: string, workerId?: string) =>
    new StreamGroup(registry, { model }).wants({
      id: 'e-1',
      kind: 'oomKill',
      hive: 'a',
      ...(workerId === undefined ? {} : { workerId, model: workerId === 'llm/0' ? 'm' : 'n' }),
    } satisfies EventHead);
  expect(['m', 'alias', 'n'].map((model) => wants(model, 'llm/0'))).toEqual([true, true, false]);
  expect([wants('alias', 'llm/1'), wants('alias', 'llm/9'), wants('alias')]).toEqual([false, false, true]);
  const snapshot = [...new StreamRows(registry, { model: 'alias' }).snapshot('e-0')].join('');
  expect(snapshot).toContain('"a/llm/0"');
  expect(snapshot).not.toContain('"a/llm/1"');
});
