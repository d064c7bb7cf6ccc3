import { describe, expect, it } from 'vitest';
import type { Act } from '../../lib/cluster/acts.js';
import { memoryBus } from '../../lib/cluster/memory.js';
import { Registry } from '../../lib/queen/registry.js';
import { gpuOf, heartbeatOf } from '../harness/heartbeats.js';
import { grants, serverOfTest, tokens } from './build-server.js';

const bearer = (token: string) => ({ authorization: `Bearer ${token}`, host: 'localhost' });
const request = { kind: 'acknowledged', cause: 'gpuLost', hives: ['a'], reason: 'ordered', by: 'kim' };

async function serverWithLostGpus() {
  const acts: Act[] = [];
  const bus = { ...memoryBus(new Registry()), passOn: (act: Act) => void acts.push(act) };
  const { app, registry } = await serverOfTest({ grants, bus });
  for (const id of ['a', 'b'])
    registry.heartbeat(heartbeatOf(id, 1, { workers: [], gpus: [gpuOf(`GPU-${id}`, { health: 'lost' })] }));
  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object, token: string = tokens.admin) =>
    await app.inject({ method, url, headers: bearer(token), ...(payload && { payload }) });
  return { acts, registry, ask };
}

describe('/v1/attention and /v1/silences', () => {
  it('say equal things once, and who looks at them already', async () => {
    const { acts, ask } = await serverWithLostGpus();
    const lines = async () => (await ask('GET', '/v1/attention', undefined, tokens.read)).json();
    expect(await lines()).toMatchObject({
      warming: true,
      items: [
        { cause: 'gpuLost', severity: 'critical', count: 2, hives: ['a', 'b'], title: '2 GPUs lost', silence: null },
      ],
    });
    const done = await ask('POST', '/v1/silences', request);
    expect(done.json()).toMatchObject({ items: [{ kind: 'acknowledged', hive: 'a', by: 'kim', reason: 'ordered' }] });
    expect((await lines()).items).toMatchObject([
      { title: 'b GPU 0', silence: null },
      { title: 'a GPU 0', silence: { by: 'kim', reason: 'ordered' } },
    ]);
    expect((await ask('GET', '/v1/silences', undefined, tokens.read)).json()).toEqual(done.json());
    expect((await ask('DELETE', '/v1/silences?cause=gpuLost&hive=a')).statusCode).toBe(204);
    expect((await ask('DELETE', '/v1/silences?cause=gpuLost&hive=a')).statusCode).toBe(404);
    expect((await ask('DELETE', '/v1/silences?cause=gpuLost')).statusCode).toBe(404);
    expect(acts).toMatchObject([
      { type: 'silence', hive: 'a', key: 'a gpuLost', silence: { by: 'kim' } },
      { type: 'silence', hive: 'a', key: 'a gpuLost', silence: null },
    ]);
    const { hives: _, ...everywhere } = request;
    expect((await ask('POST', '/v1/silences', everywhere)).json().items).toMatchObject([{ hive: null }]);
    expect(acts.at(-1)).toMatchObject({ type: 'silence', hive: 'all' });
    expect((await ask('DELETE', '/v1/silences?cause=gpuLost')).statusCode).toBe(204);
  });

  it('are changed by an admin alone, and by nothing that is malformed', async () => {
    const { ask } = await serverWithLostGpus();
    for (const token of [tokens.read, tokens.schedule, tokens.hive]) {
      expect((await ask('POST', '/v1/silences', request, token)).statusCode).toBe(403);
      expect((await ask('DELETE', '/v1/silences?cause=gpuLost', undefined, token)).statusCode).toBe(403);
    }
    for (const wrong of [
      { by: undefined },
      { reason: '' },
      { kind: 'forgotten' },
      { hives: [] },
      { hives: ['../a'] },
      { expiresInSeconds: 1 },
      { colour: 'red' },
    ])
      expect((await ask('POST', '/v1/silences', { ...request, ...wrong })).statusCode).toBe(400);
  });

  it('are bounded in number', async () => {
    const { registry, ask } = await serverWithLostGpus();
    for (let part = 0; part < 10; part++) {
      const hives = Array.from({ length: 1000 }, (_, i) => `h${part}-${i}`);
      expect(registry.silences.set({ ...request, kind: 'silenced', hives })).toHaveLength(1000);
    }
    const refused = await ask('POST', '/v1/silences', request);
    expect([refused.statusCode, refused.json().code]).toEqual([503, 'TOO_MANY_SILENCES']);
  });
});
