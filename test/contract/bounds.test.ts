import { describe, expect, it } from 'vitest';
import { hasOversizedRecord, hasTooManyLabels, oversizedField } from '../../lib/contract/bounds.js';

const record = (members: number) => Object.fromEntries(Array.from({ length: members }, (_, i) => [`k${i}`, i]));
const list = (entries: number) => Array.from({ length: entries }, (_, i) => i);

describe('what is larger than any that is right', () => {
  it.each([
    ['a list of 1,024', { id: 'x', gpus: list(1024) }, null],
    ['a list of 1,025', { id: 'x', gpus: list(1025) }, 'gpus'],
    ['a record of 1,024', { id: 'x', detail: record(1024) }, null],
    ['a record of 1,025', { id: 'x', detail: record(1025) }, 'detail'],
    ['32 labels', { id: 'x', labels: record(32) }, null],
    ['33 labels', { id: 'x', labels: record(33) }, 'labels'],
    ['an item of 1,024 members', record(1024), null],
    ['an item of 1,025 members', record(1025), ''],
    ['no item', null, null],
    ['a text', 'x'.repeat(5000), null],
    ['a long text in an item', { id: 'x'.repeat(5000) }, null],
  ])('of an item: %s', (_what, item, field) => expect(oversizedField(item)).toBe(field));

  it('labels are no more than 32, and none where they are no record', () => {
    expect([record(32), record(33), null, 'x'.repeat(40)].map(hasTooManyLabels)).toEqual([false, true, false, false]);
  });

  it.each([
    ['nothing', {}, false],
    ['labels of the hive', { hive: { labels: record(33) } }, true],
    ['labels of a worker behind one that is right', { workers: [{ labels: record(1) }, { labels: record(33) }] }, true],
    ['the detail of an event', { events: [{ detail: record(1025) }] }, true],
    ['none of them', { hive: { labels: record(32) }, workers: [{}, null], events: [{ detail: record(1024) }] }, false],
    ['lists that are none', { hive: 7, workers: 'x', events: null }, false],
  ])('of a heartbeat: %s', (_what, heartbeat, expected) => expect(hasOversizedRecord(heartbeat)).toBe(expected));
});
