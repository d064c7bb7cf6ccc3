import { expect, it } from 'vitest';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import { noContext, nullPaths, unexplained, workerNullText } from '../../lib/present/null-text.js';
import { settle, type WorkerDraft, withoutCgroup } from '../../lib/sampling/unknown.js';
import { heartbeatOf, wire, workerOf } from '../harness/heartbeats.js';

const tree = () => settle({ ...(workerOf('llm/0') as unknown as WorkerDraft), scope: 'processes', ...withoutCgroup() });

it('what a cgroup alone can tell of a worker is null without one, and says so', () => {
  const worker = tree();
  const reasons = Object.entries(worker.nullReasons ?? {}).filter(([, reason]) => reason === 'noCgroup');
  expect(reasons.map(([path]) => path).sort()).toEqual([
    'cpuThrottledPercent',
    'memoryPeakBytes',
    'oomKills',
    'pressure.cpu',
    'pressure.io',
    'pressure.memory',
    'workingSetBytes',
  ]);
  for (const path of nullPaths(workerFields, worker))
    expect(workerNullText(worker, path, noContext).text, path).not.toBe(unexplained);
});

it('what holds a worker reaches the queen; a newer word for it is read as the one that promises least', () => {
  const workers = [tree(), workerOf('llm/1'), { ...tree(), id: 'llm/2', instance: '2', scope: 'someday' }];
  const body = wire({ ...heartbeatOf('host', 1), workers, gpus: [] });
  const read = readHeartbeat(body, { maxWorkers: 10 });
  const scopes = read.ok ? read.heartbeat.workers.map(({ scope }) => scope) : read;
  expect(scopes).toEqual(['processes', null, 'processes']);
});
