import { describe, expect, it } from 'vitest';
import { Registry } from '../../lib/queen/registry.js';
import { gpuOf, heartbeatOf } from '../harness/heartbeats.js';

describe('a GPU that two hives claim', () => {
  const setUp = () => {
    const clock = { ms: 0 };
    const registry = new Registry({ clock: () => clock.ms, warmingMs: 0 });
    const seqs = new Map<string, number>();
    const send = (id: string, gpus = [gpuOf('GPU-0')]) => {
      const seq = (seqs.get(id) ?? 0) + 1;
      seqs.set(id, seq);
      expect(registry.heartbeat(heartbeatOf(id, seq, { gpus }))).toMatchObject({ accepted: true });
    };
    return { clock, registry, send, owner: () => registry.gpu('GPU-0')?.hive };
  };

  it('stays that of the hive that said so first, also when the other one leaves it out again', () => {
    const { registry, send, owner } = setUp();
    send('owner');
    send('thief');
    expect(owner()).toBe('owner');
    send('thief', []);
    send('owner');
    expect(owner()).toBe('owner');
    expect(registry.audit()).toEqual([]);
  });

  it('is that of the other one while the first is not online or no longer claims it', () => {
    const { clock, registry, send, owner } = setUp();
    send('first');
    send('second');
    clock.ms = 20_000;
    send('second');
    registry.advance();
    expect(owner()).toBe('second');
    send('first');
    expect(owner()).toBe('first');
    send('first', []);
    expect(owner()).toBe('second');
    expect(registry.audit()).toEqual([]);
  });
});
