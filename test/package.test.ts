import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findExecutable, libc } from '../lib/native/prebuilt.js';
import { findPackageRoot, packageRoot } from '../lib/package-root.js';

interface PackedFile {
  readonly path: string;
  readonly mode: number;
}
interface Scripts {
  readonly judgeFiles: (files: readonly PackedFile[], options?: { readonly release?: boolean }) => readonly string[];
  readonly judge: (
    name: string,
    symbols: string,
    headers: string,
  ) => { readonly newest: string | null; readonly wrong: readonly string[] };
  readonly isAccepted: (expression: string, accepted: ReadonlySet<string>) => boolean;
}
const script = async (name: string): Promise<Scripts> => import(new URL(`../scripts/${name}.js`, import.meta.url).href);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hivepulse-package-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text = '', mode = 0o644): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

describe('where the package is', () => {
  const nowhere = (): string => {
    throw new Error('not found');
  };

  test('packageRoot: seen from the sources', () => {
    expect(findPackageRoot(join(packageRoot, 'lib'), nowhere)).toBe(packageRoot);
  });

  test('packageRoot: bundled into a program, it is the installed package', () => {
    put('package.json', '{"name":"program"}');
    const installed = put('node_modules/hivepulse/package.json', '{"name":"hivepulse"}');
    expect(findPackageRoot(join(root, 'out'), () => installed)).toBe(dirname(installed));
  });

  test('packageRoot: bundled and carried elsewhere, nothing throws', () => {
    expect(findPackageRoot(join(root, 'out'), nowhere)).toBe(root);
  });
});

describe('executables', () => {
  const shipped = `prebuilds/${process.platform}-${process.arch}`;

  test('findExecutable: as built, before as shipped', () => {
    expect(findExecutable('hivepulse-launch', root, {})).toBeNull();
    const prebuilt = put(`${shipped}/hivepulse-launch`, '', 0o755);
    expect(findExecutable('hivepulse-launch', root, {})).toBe(prebuilt);
    const built = put('build/Release/hivepulse-launch', '', 0o755);
    expect(findExecutable('hivepulse-launch', root, {})).toBe(built);
  });

  test('findExecutable: the one for this C library', () => {
    put(`${shipped}/hivepulse-gpu.glibc`, '', 0o755);
    const musl = put(`${shipped}/hivepulse-gpu.musl`, '', 0o755);
    expect(findExecutable('hivepulse-gpu', root, { LIBC: 'musl' })).toBe(musl);
    expect(libc({ LIBC: 'musl' })).toBe('musl');
  });

  test('findExecutable: a file that may not be executed is none', () => {
    put(`${shipped}/hivepulse-launch`);
    expect(findExecutable('hivepulse-launch', root, {})).toBeNull();
  });
});

describe('what is published', () => {
  test('judgeFiles: a stray file, a missing one and one without its x bit are each named', async () => {
    const { judgeFiles } = await script('check-package');
    const problems = judgeFiles([
      { path: 'test/secret.ts', mode: 0o644 },
      { path: 'dist/index.js', mode: 0o644 },
      { path: 'prebuilds/linux-x64/hivepulse-launch', mode: 0o644 },
    ]);
    expect(problems).toContain('test/secret.ts is packed, and must not be');
    expect(problems).toContain('dist/index.d.ts is not packed');
    expect(problems).toContain('prebuilds/linux-x64/hivepulse-launch may not be executed by all');
    expect(problems.join('\n')).not.toContain('dist/index.js ');
    expect(judgeFiles([], { release: true })).toContain('prebuilds/linux-arm64/hivepulse.musl.node is not packed');
  });

  test('judge: the newest glibc symbol decides, by number and not by text', async () => {
    const { judge } = await script('check-glibc');
    const symbols = (version: string) =>
      `0000 DF *UND* 0000 (GLIBC_2.9) open\n0000 DF *UND* 0000 (GLIBC_${version}) stat\n`;
    expect(judge('hivepulse.glibc.node', symbols('2.28'), '  NEEDED   libc.so.6\n')).toMatchObject({
      newest: '2.28',
      wrong: [],
    });
    expect(judge('hivepulse.glibc.node', symbols('2.33'), '').wrong[0]).toMatch(/glibc 2\.33/);
    expect(judge('hivepulse.glibc.node', symbols('2.17'), '  NEEDED  libstdc++.so.6\n').wrong[0]).toMatch(
      /libstdc\+\+/,
    );
  });

  test('judge: a file named musl must not be of glibc, nor the other way round', async () => {
    const { judge } = await script('check-glibc');
    expect(judge('hivepulse.musl.node', '', '  NEEDED  libc.so\n').wrong).toEqual([]);
    expect(judge('hivepulse.musl.node', '(GLIBC_2.2.5) open', '  NEEDED  libc.so.6\n').wrong).toHaveLength(2);
    expect(judge('hivepulse.glibc.node', '', '  NEEDED  libc.so\n').wrong).toHaveLength(1);
  });

  test('isAccepted: one side of OR is enough, AND needs both', async () => {
    const { isAccepted } = await script('check-licenses');
    const accepted = new Set(['MIT', 'ISC']);
    expect(isAccepted('(MIT OR GPL-3.0)', accepted)).toBe(true);
    expect(isAccepted('MIT AND GPL-3.0', accepted)).toBe(false);
    expect(isAccepted('(MIT AND ISC) OR GPL-3.0', accepted)).toBe(true);
    expect(isAccepted('GPL-3.0', accepted)).toBe(false);
  });
});
