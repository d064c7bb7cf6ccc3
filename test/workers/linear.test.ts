import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinUrl } from '../../lib/client/transport.js';
import { bearerOf, hostName } from '../../lib/http/auth.js';
import { keepColours, printable } from '../../lib/present/printable.js';
import { shownUrl } from '../../lib/util/shown-url.js';
import { isSecretName, redactText } from '../../lib/workers/redact.js';
import { safeCommand, shownModel, shownProgram } from '../../lib/workers/shown-command.js';
import { portion } from '../harness/draws.js';
import { leastMs } from '../harness/least-time.js';

/** What reads text from outside. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  redactText,
  isSecretName,
  safeCommand: (text) => safeCommand(['vllm', 'serve', text, '--model', text]),
  shownModel,
  shownProgram,
  shownUrl,
  printable,
  keepColours,
  bearerOf,
  hostName,
  joinUrl: (text) => joinUrl(`http://${text}`, 'v1/hives'),
};

/** Anything that is quadratic takes hundreds of ms of 64,000 letters. */
const quick = 40;

/**
 * Fails where twice the text takes far more than twice the time, and twice that again, each time that it is tried: once alone it may be
 * where memory for it comes from.
 */
function expectLinear(read: (text: string) => unknown, unit: string): void {
  const cost = (length: number, enoughMs = 0) => {
    const text = unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
    return leastMs(() => read(text), enoughMs);
  };
  const ratios: number[] = [];
  for (let i = 0; i < 6; i += 1) {
    const whole = cost(64_000, quick);
    if (whole < quick) return;
    const half = cost(32_000);
    ratios.push(Math.min(whole / half, half / cost(16_000)));
    if ((ratios.at(-1) as number) < 3) return;
  }
  expect(ratios, unit).toEqual([]);
}

const pieces = [
  'a',
  'A',
  '0',
  '-',
  '_',
  '.',
  '=',
  ':',
  '/',
  '@',
  '"',
  "'",
  ' ',
  '+',
  '%20',
  '://',
  'token',
  'eyJ',
  'AIza',
];
const known = [
  'a',
  'a-',
  'a.',
  'A0',
  'a:',
  'a=',
  'a://',
  'a@',
  ' :',
  '"a',
  'eyJa-',
  'AIza-',
  'sk-',
  '-----BEGIN ',
  '=',
  '/',
  '\u001b[',
  '/snapshots/',
];

describe('text from outside costs linear time', () => {
  it.each(Object.entries(readers))('%s', (_name, read) => {
    for (const unit of known) expectLinear(read, unit);
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 5 }), (parts) =>
        expectLinear(read, parts.join('')),
      ),
      { numRuns: portion(25) },
    );
  });

  it('32,000 letters as an argument are redacted in a moment', () => {
    // It was 1.3 s.
    expect(leastMs(() => redactText('a'.repeat(32_000)), 300)).toBeLessThan(300);
  });
});

describe('the linter of regular expressions', () => {
  it('finds literals and patterns, and refuses those that are not linear', async () => {
    const { problemOf, regexpsOf } = await import(new URL('../../scripts/lint/regexps.js', import.meta.url).href);
    const text = "const a = /x+y/.test(b);\nconst idPattern = '^[a-z]+$';\nconst other = 'a+b';";
    const found = regexpsOf('a.ts', text);
    expect(found.map(({ source, line }: { source: string; line: number }) => [source, line])).toEqual([
      ['x+y', 1],
      ['^[a-z]+$', 2],
    ]);
    expect(await Promise.all(found.map(problemOf))).toEqual(['2nd degree polynomial', null]);
  }, 60_000);

  it('and are refused for a text that takes time, not for one that a search takes for it', async () => {
    const { isSlow } = await import(new URL('../../scripts/lint/regexps.js', import.meta.url).href);
    const text = { pumps: [{ prefix: 'x', pump: 'a' }], suffix: 'c' };
    expect(isSlow({ source: '^xa*b$', flags: '' }, text)).toBe(false);
    expect(isSlow({ source: '^xa*a*b$', flags: '' }, text, 200)).toBe(true);
  }, 30_000);
});
