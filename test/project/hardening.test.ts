import { describe, expect, test } from 'vitest';

interface Scripts {
  readonly judgeHardening: (name: string, file: string, headers: string, symbols: string) => readonly string[];
  readonly hardeningProblems: () => readonly string[];
  readonly ownBinaries: () => readonly string[];
}
const scripts = (await import(new URL('../../scripts/hardening.js', import.meta.url).href)) as Scripts;

const file = 'flags 0x00000150:\nHAS_SYMS, DYNAMIC, D_PAGED';
const headers = '   RELRO off    0x1\n\nDynamic Section:\n  FLAGS                0x0000000000000008\n';
const symbols = '0 DF *UND* (GLIBC_2.4) __stack_chk_fail\n0 DF *UND* (GLIBC_2.3.4) __memcpy_chk\n';

describe('binaries', () => {
  test('those that are built here are hardened', () => {
    expect(scripts.ownBinaries().length).toBeGreaterThanOrEqual(3);
    expect(scripts.hardeningProblems()).toEqual([]);
  });

  test.each([
    ['nothing', file, headers, symbols, []],
    ['PIE', 'flags 0x00000112:\nEXEC_P, HAS_SYMS, D_PAGED', headers, symbols, ['no PIE']],
    ['RELRO', file, headers.replace('RELRO', 'LOAD'), symbols, ['no RELRO']],
    [
      'bound relocations',
      file,
      headers.replace(/ {2}FLAGS.*\n/, ''),
      symbols,
      ['relocations are not bound at start (-z now)'],
    ],
    ['a stack protector', file, headers, symbols.replace('__stack_chk_fail', 'x'), ['no stack protector']],
    [
      'checked copies',
      file,
      headers,
      symbols.replace('__memcpy_chk', 'memcpy'),
      ['no checked copies (_FORTIFY_SOURCE)'],
    ],
    ['a dynamic section', file, '   RELRO off    0x1\n', symbols, ['is linked statically']],
  ])('without %s', (_what, flags, dynamic, names, wrong) => {
    expect(scripts.judgeHardening('hivepulse-gpu', flags, dynamic, names)).toEqual(wrong);
  });

  test('the launcher may be one static file at a fixed address, and still has what can be had there', () => {
    const judged = (headers: string) =>
      scripts.judgeHardening(
        'prebuilds/linux-x64/hivepulse-launch',
        'flags 0x00000112:\nEXEC_P, HAS_SYMS',
        headers,
        '',
      );
    expect(judged('   RELRO off    0x1\n')).toEqual([]);
    expect(judged('   LOAD off    0x1\n')).toEqual(['no RELRO']);
  });
});
