import { describe, expect, it } from 'vitest';
import { waitFor } from '../harness/wait.js';
import { recordOn, workerOf } from './collect-support.js';
import { FakeHost } from './fake-host.js';

const ours = '/hivepulse.slice';

describe('collect', () => {
  it('collect_parses_cmdline: the engine is found behind its shell, and what `run` was given wins where it listens', async () => {
    const host = new FakeHost();
    const path = `${ours}/llm/a`;
    host.worker(path, { pid: 100, argv: ['sh', '-c', 'vllm serve x'] });
    host.process({
      pid: 101,
      argv: ['python3', '/bin/vllm', 'serve', 'x', '--port', '9'],
      cgroup: path,
      startTicks: 900_100,
      parentPid: 100,
      listens: [
        { address: '127.0.0.1', port: 9 },
        { address: '127.0.0.1', port: 77 },
      ],
    });
    const sampler = host.sampler();
    expect(workerOf(await sampler.sample(), 'llm/a')).toMatchObject({
      pid: 100,
      processCount: 2,
      model: 'x',
      port: 9,
      endpoint: null,
      endpointReason: 'loopbackOnly',
      command: 'python3 vllm serve x --port 9',
    });
    await recordOn(host, { group: 'llm', instance: 'a', model: 'named', port: 77 });
    const given = await waitFor(async () => {
      const worker = workerOf(await sampler.sample(), 'llm/a');
      return worker.model === 'named' && worker;
    });
    expect(given.port).toBe(77);
    await recordOn(host, { group: 'llm', instance: 'a', model: 'again', port: 78 });
    const unheard = await waitFor(async () => {
      const worker = workerOf(await sampler.sample(), 'llm/a');
      return worker.model === 'again' && worker;
    });
    expect(unheard.port).toBe(9);
  });
});
