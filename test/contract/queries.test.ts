import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { Cordon, CordonRequest } from '../../lib/contract/cordon.js';
import { MissingList } from '../../lib/contract/missing.js';
import {
  BestQuery,
  EventsQuery,
  GpusQuery,
  HistoryQuery,
  HivesQuery,
  MissingQuery,
  WorkersQuery,
} from '../../lib/contract/queries.js';
import { Silence, SilenceRequest, SilenceTarget } from '../../lib/contract/silence.js';

const long = (length: number) => 'x'.repeat(length);
const many = (count: number, item: string) => Array.from({ length: count }, () => item);
const label = `${long(63)}:${long(256)}`;

describe('what may be asked', () => {
  it.each<[string, TSchema, object, readonly object[]]>([
    ['hives', HivesQuery, { liveness: 'late', state: 'draining', label }, [{ liveness: 'x' }, { model: 'm' }]],
    ['hives with labels', HivesQuery, { label: many(32, 'a:b') }, [{ label: many(33, 'a:b') }, { label: 'a' }]],
    [
      'hives with a label',
      HivesQuery,
      { label: 'a:' },
      [{ label: ':b' }, { label: '__proto__:b' }, { label: 'a b:c' }],
    ],
    ['a long label', HivesQuery, { label }, [{ label: `x${label}` }, { label: `${label}x` }]],
    ['pages', HivesQuery, { limit: 1000, cursor: long(1024) }, [{ limit: 0 }, { limit: 1001 }, { cursor: long(1025) }]],
    ['a page', GpusQuery, { limit: 1, cursor: 'x' }, [{ limit: 1.5 }, { cursor: '' }]],
    ['workers', WorkersQuery, { model: long(512), minFreeVramBytes: 0 }, [{ model: '' }, { minFreeVramBytes: -1 }]],
    [
      'workers in order',
      WorkersQuery,
      { sort: '-cpuPercent', hive: 'a', group: 'llm' },
      [{ sort: 'pid' }, { hive: '' }],
    ],
    ['workers by state', WorkersQuery, { state: 'busy' }, [{ state: 'lost' }, { health: 'ok' }, { model: long(513) }]],
    ['GPUs', GpusQuery, { minFreeBytes: 0, health: 'degraded' }, [{ minFreeBytes: 0.5 }, { health: 'sleepy' }]],
    ['what is missing', MissingQuery, { kind: 'gpu', hive: 'a' }, [{ kind: 'fleet' }, { since: 1 }]],
    ['history', HistoryQuery, { span: 'day' }, [{ span: 'week' }, { from: 1 }]],
    ['the best', BestQuery, { model: 'm', promptTokens: 0, maxTokens: 1e8, count: 64 }, [{}, { model: 'm', count: 0 }]],
    ['the best for more', BestQuery, { model: 'm', promptTokens: 1e8 }, [{ model: 'm', promptTokens: 1e8 + 1 }]],
    ['the best for a key', BestQuery, { model: 'm', prefixKey: long(256) }, [{ model: 'm', prefixKey: long(257) }]],
    ['the best but some', BestQuery, { model: 'm', exclude: many(32, 'a/b/c') }, [{ model: 'm', exclude: 'a/b/' }]],
    ['the best but one', BestQuery, { model: 'm', exclude: 'a/b/c' }, [{ model: 'm', exclude: many(33, 'a/b/c') }]],
    ['events', EventsQuery, { kind: 'event,oomKill', changes: true, lists: false }, [{ kind: 'a,' }, { changes: 'x' }]],
    [
      'events since',
      EventsQuery,
      { lastEventId: long(128) },
      [{ lastEventId: long(129) }, { kind: many(33, 'a').join() }],
    ],
  ])('%s, and nothing that is misspelt or out of range', (_what, schema, right, wrong) => {
    expect(Value.Check(schema, right)).toBe(true);
    for (const each of wrong) expect(Value.Check(schema, each), JSON.stringify(each)).toBe(false);
  });
});

describe('what may be asked for by an admin', () => {
  const silence = { kind: 'silenced', cause: 'gpuStalled', reason: 'known', by: 'ops' };
  it.each<[string, TSchema, object, readonly object[]]>([
    [
      'a cordon',
      CordonRequest,
      { reason: 'x', by: long(128) },
      [{}, { reason: '' }, { reason: long(257) }, { by: 'x' }],
    ],
    ['its end', CordonRequest, { reason: 'x', expiresInSeconds: 60 }, [{ reason: 'x', expiresInSeconds: 59 }]],
    [
      'a silence',
      SilenceRequest,
      { ...silence, hives: ['a'] },
      [
        { ...silence, hives: [] },
        { ...silence, kind: 'no' },
      ],
    ],
    [
      'its end',
      SilenceRequest,
      { ...silence, expiresInSeconds: 2_592_000 },
      [{ ...silence, expiresInSeconds: 2_592_001 }],
    ],
    [
      'who it is by',
      SilenceRequest,
      silence,
      [
        { ...silence, by: '' },
        { ...silence, colour: 'red' },
      ],
    ],
    ['its target', SilenceTarget, { cause: 'gpuStalled' }, [{ cause: '' }, { hive: 'a' }]],
  ])('%s', (_what, schema, right, wrong) => {
    expect(Value.Check(schema, right)).toBe(true);
    for (const each of wrong) expect(Value.Check(schema, each), JSON.stringify(each)).toBe(false);
  });

  it('is answered with when it began, and when it ends', () => {
    const at = { since: '2026-01-02T03:04:05Z', expiresAt: '2026-01-03T03:04:05Z' };
    expect(Value.Check(Cordon, { reason: 'x', by: null, ...at, expiresAt: null })).toBe(true);
    expect(Value.Check(Cordon, { reason: 'x', ...at })).toBe(false);
    expect(Value.Check(Silence, { ...silence, hive: null, ...at })).toBe(true);
    expect(Value.Check(Silence, { ...silence, hive: null, ...at, expiresAt: null })).toBe(false);
    expect(Value.Check(MissingList, { items: [], nextCursor: null })).toBe(true);
    expect(Value.Check(MissingList, { items: [{ kind: 'hive' }], nextCursor: null })).toBe(false);
  });
});
