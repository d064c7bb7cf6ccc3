import { expect, it, onTestFinished } from 'vitest';
import type { Finding } from '../../lib/engines/examine.js';
import { LoadProber } from '../../lib/engines/load/prober.js';
import type { ListeningSource } from '../../lib/sampling/endpoints.js';
import type { ServingFigures } from '../../lib/sampling/serving.js';
import { track } from '../../lib/sampling/tracked.js';
import { WorkerLoads } from '../../lib/sampling/worker-loads.js';
import type { Watched } from '../../lib/workers/watched.js';
import { FakeEngine } from '../fakes/engines/server.js';
import { waitFor } from '../harness/wait.js';

it('what an engine says is passed on as soon as it has said it, and not what it said before', async () => {
  const engine = new FakeEngine('vllm', '0.29');
  onTestFinished(() => void engine.close());
  const port = await engine.listen();
  let nowMs = 0;
  const loads = new LoadProber({ now: () => nowMs });
  onTestFinished(() => loads.close());
  const found: Finding = {
    ...{ scheme: 'http', host: '127.0.0.1', own: true, ready: true },
    ...{ reason: null, unclear: null, silent: false },
  };
  const asked = [{ key: '1 a', engine: 'vllm' as const, held: true, addresses: [{ host: '127.0.0.1', port }] }];
  const workers = new WorkerLoads({
    loads,
    prober: { findingsOf: () => new Map([['1 a', found]]) },
    listening: {} as ListeningSource,
    nowMs: () => nowMs,
  });
  const heard: [string, ServingFigures][] = [];
  workers.listen((id, serving) => heard.push([id, serving]));
  const tracked = track({ id: 'llm/0' } as Watched, 0, 0);
  const tick = () => {
    workers.add(tracked, [], asked as never);
    workers.ask();
  };
  for (const running of [3, 5]) {
    engine.show({ running });
    nowMs += 1000;
    // One question at a time: the next turn may have to wait for the last of them.
    await waitFor(
      () => {
        tick();
        return heard.at(-1)?.[1].running === running;
      },
      { what: 'the answer of the engine' },
    );
    expect(heard.at(-1)).toMatchObject(['llm/0', { engine: 'vllm', running, ageMs: 0 }]);
    expect(workers.of(tracked).serving).toEqual(heard.at(-1)![1]);
  }
  // One that is gone has nothing to say.
  workers.ask();
  const count = heard.length;
  nowMs += 1000;
  loads.onAnswer?.('llm/0');
  expect(heard).toHaveLength(count);
});
