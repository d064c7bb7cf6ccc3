import { describe, expect, it } from 'vitest';
import { checkRegistryOptions, type RegistryOptions } from '../../lib/queen/registry-options.js';

const milliseconds = { good: [0, 0.5, 90_000], bad: [-1, Number.NaN, Number.POSITIVE_INFINITY, '1', null] };
const whole = { good: [1, 7], bad: [0, -1, 1.5, Number.POSITIVE_INFINITY, '1', null] };
const calls = { good: [() => 0], bad: [0, 'now', {}, null] };
const texts = { good: ['q'], bad: ['', 1, null] };
const bytes = { good: [0, 1.5, Number.POSITIVE_INFINITY], bad: [-1, Number.NaN, '1', null] };

const memory = ['fleetBytes', 'hiveBytes', 'eventBytes', 'reservationBytes', 'missingBytes', 'streamBytes'];
const cases: readonly (readonly [name: string, values: { good: readonly unknown[]; bad: readonly unknown[] }])[] = [
  ...['offlineAfterMs', 'staleAfterMs', 'warmingMs', 'lateAfterIntervals', 'offlineAfterIntervals'].map(
    (name) => [name, milliseconds] as const,
  ),
  ['tickMs', { good: [null, 0, 250], bad: [-1, '1'] }],
  ...['clock', 'wallClock', 'random', 'onListenerError', 'concludes', 'journal'].map((name) => [name, calls] as const),
  ...['queenId', 'epoch'].map((name) => [name, texts] as const),
  ...['eventRingSize', 'maxHives', 'maxWorkersPerHive'].map((name) => [name, whole] as const),
  ['historyRings', { good: [0, 3], bad: [-1, 1.5, null] }],
  ...memory.map((name) => [`memory.${name}`, bytes] as const),
  ['memory', { good: [{}], bad: [1, null, { heap: 1 }] }],
];

/** `{ memory: { fleetBytes: value } }` for `memory.fleetBytes`. */
const optionsOf = (name: string, value: unknown) =>
  name.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as RegistryOptions;

describe('options of a registry', () => {
  it.each(cases)('%s takes what it can be, and refuses by its name what it cannot', (name, { good, bad }) => {
    for (const value of [...good, undefined]) expect(() => checkRegistryOptions(optionsOf(name, value))).not.toThrow();
    for (const value of bad)
      expect(() => checkRegistryOptions(optionsOf(name, value)), JSON.stringify(value)).toThrowError(
        expect.objectContaining({ code: 'INVALID_OPTION', subject: expect.stringContaining(name) }),
      );
  });

  it('that do not exist are refused', () => {
    expect(() => checkRegistryOptions({ warmingMS: 1 } as RegistryOptions)).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION', subject: 'warmingMS' }),
    );
  });
});
