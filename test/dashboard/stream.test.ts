import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { FleetEvent, StreamSnapshot } from '../../lib/contract/api.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';

/** As the browser's: the page reads, the test writes. Only the stream of the fleet answers. */
class FakeQueen {
  readonly #encoder = new TextEncoder();
  #stream: ReadableStreamDefaultController<Uint8Array> | null = null;

  readonly fetch = (url: string): Promise<Response> => {
    if (url !== './v1/events?changes=true&lists=true') return Promise.reject(new TypeError('no network'));
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#stream = controller;
      },
    });
    return Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
  };

  say(type: string, data: StreamSnapshot | FleetEvent): void {
    const id = 'id' in data ? `id: ${data.id}\n` : '';
    this.#stream?.enqueue(this.#encoder.encode(`event: ${type}\n${id}data: ${JSON.stringify(data)}\n\n`));
  }
}

describe('the stream of the page, without a browser', () => {
  const queen = new FakeQueen();
  let fleet: typeof import('../../lib/dashboard/data/fleet.js');
  let stream: typeof import('../../lib/dashboard/data/stream.js');

  beforeAll(async () => {
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('window', { setTimeout: () => 0 });
    vi.stubGlobal('requestAnimationFrame', () => 0);
    vi.stubGlobal('document', {
      baseURI: 'http://queen.example/',
      visibilityState: 'hidden',
      addEventListener: () => undefined,
    });
    vi.stubGlobal('fetch', queen.fetch);
    fleet = await import('../../lib/dashboard/data/fleet.js');
    stream = await import('../../lib/dashboard/data/stream.js');
    stream.startStream();
  });
  afterAll(() => {
    // Else it would come back, and find the globals of another file.
    stream.signedOut();
    fleet.mirror.setConnection('connecting');
    vi.unstubAllGlobals();
  });

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
  const held = () => [[...fleet.hives.keys()], [...fleet.workers.keys()]];
  const listed = () => fleet.mirror.events.map(({ id }) => id);

  it('a replayed event up to the snapshot is listed and changes no row: a hive that is back stays', async () => {
    queen.say('snapshot', snapshotOf('e-9', ['llm/0', 'llm/1']));
    queen.say('queenEvent', event('e-7', 'workerGone', 'llm/0'));
    queen.say('queenEvent', event('e-8', 'hiveRemoved'));
    queen.say('queenEvent', event('e-9', 'hiveOffline'));
    await vi.waitFor(() => expect(listed()).toEqual(['e-7', 'e-8', 'e-9']));
    expect(held()).toEqual([['a'], ['a/llm/0', 'a/llm/1']]);
    expect(fleet.hives.get('a')?.view.liveness).toBe('online');
    queen.say('queenEvent', event('e-10', 'workerGone', 'llm/0'));
    await vi.waitFor(() => expect(held()).toEqual([['a'], ['a/llm/1']]));
    queen.say('queenEvent', event('e-11', 'hiveRemoved'));
    await vi.waitFor(() => expect(held()).toEqual([[], []]));
  });

  it('an event of another stream than the snapshot is not taken for a past one', async () => {
    queen.say('snapshot', snapshotOf('f-90', ['llm/0']));
    queen.say('queenEvent', event('g-1', 'hiveRemoved'));
    await vi.waitFor(() => expect(listed()).toContain('g-1'));
    expect(held()).toEqual([[], []]);
  });
});
