import type { ServerResponse } from 'node:http';
import { expect } from 'vitest';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf } from '../harness/heartbeats.js';
import { endlessTurn } from './build-server.js';
import { FakeResponse } from './fake-response.js';

export type HubOptions = NonNullable<ConstructorParameters<typeof StreamHub>[1]>;

/** A registry and its hub, whose clocks stand still. */
export function hubBench(options: HubOptions = {}) {
  const registry = new Registry({ clock: () => 0, epoch: 'e' });
  const hub = new StreamHub(registry, { turns: endlessTurn(), now: () => 0, ...options });
  const open = (filter = {}, caller = 'someone') => {
    const response = new FakeResponse();
    hub.open(response as unknown as ServerResponse, filter, null, caller);
    return response;
  };
  const seqs = new Map<string, number>();
  /** Without a flush: what follows happens in the same turn. */
  const hear = (hive: string, over: Parameters<typeof heartbeatOf>[2] = {}) => {
    const seq = (seqs.get(hive) ?? 0) + 1;
    seqs.set(hive, seq);
    expect(registry.heartbeat(heartbeatOf(hive, seq, over)).accepted).toBe(true);
  };
  const said = (response: FakeResponse) =>
    response.messages.map(({ event, data }) => (data as { kind?: string }).kind ?? event);
  /** What came to a reader since it was asked last. */
  const news = (response: FakeResponse) => {
    const all = said(response);
    response.text = '';
    return all;
  };
  return { registry, hub, open, hear, said, news };
}
