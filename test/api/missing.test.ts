import { describe, expect, it } from 'vitest';
import type { Act } from '../../lib/cluster/acts.js';
import { apply, readAct } from '../../lib/cluster/acts.js';
import { memoryBus } from '../../lib/cluster/memory.js';
import { defaults } from '../../lib/contract/defaults.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf } from '../harness/heartbeats.js';
import { grants, serverOfTest, tokens } from './build-server.js';

const bearer = (token: string) => ({ authorization: `Bearer ${token}`, host: 'localhost' });

describe('POST /v1/hives/:id/cordon', () => {
  it('is for an admin alone, and is passed on', async () => {
    const acts: Act[] = [];
    const bus = { ...memoryBus(new Registry()), passOn: (act: Act) => void acts.push(act) };
    const { app, registry } = await serverOfTest({ grants, bus });
    registry.heartbeat(heartbeatOf('a'));
    const ask = (path: string, token: string, payload?: object) =>
      app.inject({ method: 'POST', url: `/v1/hives/a/${path}`, headers: bearer(token), ...(payload && { payload }) });
    for (const token of [tokens.read, tokens.schedule, tokens.hive]) {
      expect((await ask('cordon', token, { reason: 'x' })).statusCode).toBe(403);
      expect((await ask('uncordon', token)).statusCode).toBe(403);
    }
    expect((await ask('cordon', tokens.admin, { reason: 'Xid 79' })).statusCode).toBe(200);
    expect((await ask('uncordon', tokens.admin)).statusCode).toBe(204);
    expect(acts).toMatchObject([
      { type: 'cordon', hive: 'a', cordon: { reason: 'Xid 79' } },
      { type: 'cordon', hive: 'a', cordon: null },
    ]);
  });
});

describe('/v1/missing', () => {
  it('lists what is gone to readers, and lets only an admin forget it', async () => {
    const acts: Act[] = [];
    const bus = { ...memoryBus(new Registry()), passOn: (act: Act) => void acts.push(act) };
    const { app, clock, registry } = await serverOfTest({ grants, bus });
    registry.heartbeat(heartbeatOf('a'));
    const ask = async (method: 'GET' | 'DELETE', url: string, token: string = tokens.admin) =>
      await app.inject({ method, url, headers: bearer(token) });
    const [worker] = registry.workersOf('a');
    const uuid = registry.hive('a')!.gpus[0]!.uuid;
    // What is there is not forgotten by mistake.
    expect((await ask('DELETE', `/v1/workers/${worker!.key}`)).statusCode).toBe(404);
    clock.ms += defaults.staleAfterMs;
    const listed = (await ask('GET', '/v1/missing', tokens.read)).json();
    expect(listed.items[0]).toMatchObject({ kind: 'hive', key: 'a', reason: 'silent', last: { id: 'a' } });
    expect((await ask('GET', '/v1/fleet')).json().missing).toMatchObject({ hives: 1 });
    expect((await ask('GET', '/v1/missing?kind=gpu')).json().items).toMatchObject([{ key: uuid }]);
    expect((await ask('GET', '/v1/missing?kind=cat')).statusCode).toBe(400);

    const refused = await ask('DELETE', `/v1/workers/${worker!.key}`, tokens.schedule);
    expect(refused.statusCode).toBe(403);
    expect((await ask('DELETE', `/v1/workers/${worker!.key}`)).statusCode).toBe(204);
    expect((await ask('DELETE', `/v1/gpus/${uuid}`)).statusCode).toBe(204);
    expect((await ask('DELETE', `/v1/gpus/${uuid}`)).statusCode).toBe(404);
    expect((await ask('DELETE', '/v1/hives/a')).statusCode).toBe(204);
    expect((await ask('GET', '/v1/fleet')).json().missing).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    expect(acts).toEqual([
      { type: 'forget', kind: 'worker', key: worker!.key, hive: 'a' },
      { type: 'forget', kind: 'gpu', key: uuid, hive: 'a' },
    ]);
  });

  it('is forgotten by the other queens of a bus as well, whatever else comes over it', () => {
    const clock = { ms: 0 };
    const other = new Registry({ clock: () => clock.ms });
    other.heartbeat(heartbeatOf('a'));
    const [worker] = other.workersOf('a');
    clock.ms += defaults.staleAfterMs;
    other.advance();
    const act = { type: 'forget', kind: 'worker', key: worker!.key, hive: 'a' };
    const read = readAct(Buffer.from(JSON.stringify(act)));
    expect(read).toEqual(act);
    apply(other, read!);
    expect(other.missing.list({ kind: 'worker', hive: 'a' }).items.map(({ key }) => key)).not.toContain(worker!.key);
    for (const text of [
      '',
      '{',
      '[]',
      '{"type":"forget"}',
      '{"type":"burn","hive":"a","kind":"hive","key":"a"}',
      'x'.repeat(9000),
    ])
      expect(readAct(Buffer.from(text))).toBeNull();
    expect(readAct(Buffer.from([0xff, 0xfe]))).toBeNull();
  });
});
