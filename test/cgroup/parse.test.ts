import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDecimal, parsePids, parseStartTicks, parseUnsigned } from '../../lib/cgroup/parse.js';

// What the files mean is in the parity suite's fixtures; here the numbers, against what the language makes of them.
const unsigned = (text: string) => parseUnsigned(Buffer.from(text), 0, text.length);
const decimal = (text: string) => parseDecimal(Buffer.from(text), 0, text.length);

test('unsigned numbers up to 2^64 - 1 are the nearest double', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (n) => {
      expect(unsigned(String(n))).toBe(Number(n));
    }),
  );
  expect(unsigned('18446744073709551615')).toBe(2 ** 64);
  for (const text of ['', '18446744073709551616', '-1', '1.0', ' 1', '1 ', '1e3', '0x1', 'max']) {
    expect(unsigned(text)).toBeNaN();
  }
});

test('decimal fractions are the nearest double', () => {
  const fraction = fc.tuple(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 0, max: 99 }));
  fc.assert(
    fc.property(fraction, ([whole, hundredths]) => {
      const text = `${whole}.${String(hundredths).padStart(2, '0')}`;
      expect(decimal(text)).toBe(Number(text));
    }),
  );
  for (const text of ['', '.', '1.', '.5', '1..2', '1.2.3', '-1.0', '1234567890123456', '1e2', 'NaN']) {
    expect(decimal(text)).toBeNaN();
  }
});

test('a process may be called anything', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 15 }), fc.bigInt({ min: 0n, max: 2n ** 53n }), (name, ticks) => {
      const rest = ` S 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 ${ticks} 2 3\n`;
      const text = Buffer.concat([Buffer.from('7 ('), name, Buffer.from(`)${rest}`)]);
      expect(parseStartTicks(text, text.length)).toBe(Number(ticks));
    }),
  );
});

test('pids: those of another namespace (0) are left out, a torn line is told', () => {
  const pids = new Uint32Array(16);
  const parse = (text: string) => parsePids(Buffer.from(text), text.length, pids);
  expect(parse('5\n0\n4194304\n')).toBe(2);
  expect([...pids.subarray(0, 2)]).toEqual([5, 4194304]);
  expect(~parse('5\nx\n7')).toBe(2);
  expect([...pids.subarray(0, 2)]).toEqual([5, 7]);
});
