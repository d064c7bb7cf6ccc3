import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { FleetEvent, HiveView, StreamSnapshot, WorkerView } from '../../lib/contract/api.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';

/** As the browser's: the page listens, the test speaks. */
class FakeEventSource extends EventTarget {
  static readonly CLOSED = 2;
  static opened: FakeEventSource[] = [];
  readyState = 1;
  onerror: (() => void) | null = null;

  constructor(readonly url: string) {
    super();
    FakeEventSource.opened.push(this);
  }
  close(): void {
    this.readyState = FakeEventSource.CLOSED;
  }
  say(type: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  }
}

describe('the stream of the page, without a browser', () => {
  let source: FakeEventSource;
  let fleet: typeof import('../../lib/dashboard/data/fleet.js');

  beforeAll(async () => {
    vi.stubGlobal('EventSource', FakeEventSource);
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('window', { setTimeout: () => 0 });
    vi.stubGlobal('requestAnimationFrame', () => 0);
    vi.stubGlobal('document', {
      baseURI: 'http://queen.example/',
      visibilityState: 'hidden',
      addEventListener: () => undefined,
    });
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no network')));
    fleet = await import('../../lib/dashboard/data/fleet.js');
    const { startStream } = await import('../../lib/dashboard/data/stream.js');
    startStream();
    source = FakeEventSource.opened[0]!;
  });
  afterAll(() => vi.unstubAllGlobals());

  const snapshotOf = (lastEventId: string, ids: readonly string[]): StreamSnapshot => {
    const registry = new Registry({ clock: () => 0 });
    const said = heartbeatOf('a', 1, { workers: ids.map((id) => workerOf(id)) });
    if (ids.length > 0) registry.heartbeat(said);
    return { ...registry.snapshot(), lastEventId };
  };
  const event = (id: string, kind: string, workerId?: string): FleetEvent => ({
    id,
    at: '2026-01-02T03:04:05.000Z',
    kind,
    hive: 'a',
    ...(workerId === undefined ? {} : { workerId }),
    detail: {},
  });
  const held = () => [
    [...fleet.hives.values()].map(({ view }: { view: HiveView }) => view.id),
    [...fleet.workers.values()].map((worker: WorkerView) => worker.key),
  ];

  it('a replayed event up to the snapshot is listed and changes no row: a hive that is back stays', () => {
    source.say('snapshot', snapshotOf('e-9', ['llm/0', 'llm/1']));
    source.say('queenEvent', event('e-7', 'workerGone', 'llm/0'));
    source.say('queenEvent', event('e-8', 'hiveRemoved'));
    source.say('queenEvent', event('e-9', 'hiveOffline'));
    expect(held()).toEqual([['a'], ['a/llm/0', 'a/llm/1']]);
    expect(fleet.hives.get('a')?.liveness).toBe('online');
    expect(fleet.events.map(({ id }) => id)).toEqual(expect.arrayContaining(['e-7', 'e-8', 'e-9']));
    source.say('queenEvent', event('e-10', 'workerGone', 'llm/0'));
    expect(held()).toEqual([['a'], ['a/llm/1']]);
    source.say('queenEvent', event('e-11', 'hiveRemoved'));
    expect(held()).toEqual([[], []]);
  });

  it('an event of another stream than the snapshot is not taken for a past one', () => {
    source.say('snapshot', snapshotOf('f-90', ['llm/0']));
    source.say('queenEvent', event('g-1', 'hiveRemoved'));
    expect(held()).toEqual([[], []]);
  });
});
