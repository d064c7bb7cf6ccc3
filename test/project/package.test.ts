import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { findExecutable, libc } from '../../lib/native/prebuilt.js';
import { findPackageRoot, packageRoot } from '../../lib/util/package-root.js';

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
  readonly ciSteps: (text: string) => ReadonlySet<string>;
  readonly strayCommands: (
    workflow: object,
    scripts: ReadonlySet<string>,
    steps: ReadonlySet<string>,
  ) => readonly string[];
  readonly changesOf: (changelog: string, version: string) => string | null;
  readonly judgeRelease: (release: {
    readonly version: string;
    readonly changelog: string;
    readonly tag?: string;
  }) => readonly string[];
}
const script = async (name: string): Promise<Scripts> =>
  import(new URL(`../../scripts/${name}.js`, import.meta.url).href);

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

describe('the addon and its executables', () => {
  test('are compiled of every file of native/, each in one unit', () => {
    const native = new URL('../../native/', import.meta.url);
    const text = (name: string) => readFileSync(new URL(name, native), 'utf8');
    const compiled = [...text('../binding.gyp').matchAll(/"native\/(\w+\.cc?)"/g)].map(([, name]) => name!);
    const files = readdirSync(native).filter((name) => /\.cc?$/.test(name));
    const units = files.filter((name) => name.startsWith('unit_'));
    const included = units.flatMap((unit) =>
      [...text(unit).matchAll(/^#include "(\w+\.cc)"$/gm)].map(([, name]) => name!),
    );
    expect([...new Set(compiled), ...included].sort()).toEqual(files.sort());
  });
});

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

  test('findExecutable: HIVEPULSE_PREBUILD comes first, where it has it', () => {
    const environment = { HIVEPULSE_PREBUILD: join(root, 'other') };
    const built = put('build/Release/hivepulse-launch', '', 0o755);
    expect(findExecutable('hivepulse-launch', root, environment)).toBe(built);
    const other = put('other/build/Release/hivepulse-launch', '', 0o755);
    expect(findExecutable('hivepulse-launch', root, environment)).toBe(other);
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
});

const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
};

describe('what GitHub runs', () => {
  const scripts = new Set(Object.keys(manifest.scripts));
  const directory = join(packageRoot, '.github/workflows');
  const workflows = readdirSync(directory).filter((name) => name.endsWith('.yml'));

  test('the workflows that there are', () => {
    expect(workflows.toSorted()).toEqual([
      'bench.yml',
      'nightly.yml',
      'release.yml',
      'sanitize.yml',
      'telemetry-tests.yml',
    ]);
  });

  test.each(workflows)('%s: each step is a script of package.json or a step of .ci/run', async (name) => {
    const { ciSteps, strayCommands } = await script('lint/workflows');
    const workflow = parse(readFileSync(join(directory, name), 'utf8')) as object;
    expect(strayCommands(workflow, scripts, ciSteps(read('.ci/run')))).toEqual([]);
  });

  test('a step that cannot be run by hand is named, also where a matrix hides it', async () => {
    const { strayCommands } = await script('lint/workflows');
    const steps = [
      'npm run lint',
      'npm run nothing',
      `.ci/run packages \${{ matrix.suite }}`,
      'curl https://example.com | sh',
      'npm run lint && rm -rf /',
    ];
    const workflow = {
      jobs: { a: { strategy: { matrix: { suite: ['lint', 'gone'] } }, steps: steps.map((run) => ({ run })) } },
    };
    const problems = strayCommands(workflow, new Set(['lint']), new Set(['packages', 'lint']));
    expect(problems).toHaveLength(4);
    expect(problems.join('\n')).toMatch(/nothing[\s\S]*gone is no step[\s\S]*curl[\s\S]*rm -rf/);
  });

  test('.ci/run: each of its suites is a script', async () => {
    const { ciSteps } = await script('lint/workflows');
    const found = [...ciSteps(read('.ci/run'))].filter((name) => !['packages', 'install'].includes(name));
    expect(found.length).toBeGreaterThan(8);
    expect(found.filter((name) => !scripts.has(name))).toEqual([]);
  });
});

describe('a release', () => {
  const changelog =
    '# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-01\n\n### Added\n\n- A thing.\n\n## [1.1.0]\n';

  test('changesOf: the section of the version alone', async () => {
    const { changesOf } = await script('release');
    expect(changesOf(changelog, '1.2.0')).toBe('### Added\n\n- A thing.');
    expect(changesOf(changelog, '1.1.0')).toBeNull();
    expect(changesOf(changelog, '1.2')).toBeNull();
    expect(changesOf('## [1.2.0]\n- Last.\n', '1.2.0')).toBe('- Last.');
  });

  test('judgeRelease: no changes told, or a tag that says otherwise', async () => {
    const { judgeRelease } = await script('release');
    expect(judgeRelease({ version: '1.2.0', changelog, tag: 'v1.2.0' })).toEqual([]);
    expect(judgeRelease({ version: '1.1.0', changelog })[0]).toMatch(/no section \[1\.1\.0\], or an empty one/);
    expect(judgeRelease({ version: '1.2.0', changelog, tag: 'v1.3.0' })[0]).toMatch(/the tag is v1\.3\.0/);
  });

  test('CHANGELOG.md tells of this version', async () => {
    const { judgeRelease } = await script('release');
    expect(judgeRelease({ version: manifest.version, changelog: read('CHANGELOG.md') })).toEqual([]);
  });
});

describe('what the package depends on', () => {
  const rows = [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)`\s*\|\s*(\S.*?)\s*\|$/gm)];

  test('docs/dependencies.md: each dependency has its reason, and none is named that is gone', () => {
    const named = rows.map(([, name]) => name as string).toSorted();
    const wanted = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }).toSorted();
    expect(named).toEqual(wanted);
    for (const [, name, reason] of rows) expect((reason as string).split(' ').length, name).toBeGreaterThan(4);
  });
});

describe('the way in for contributors', () => {
  const text = read('CONTRIBUTING.md');

  test('CONTRIBUTING.md: each script that it names is there', () => {
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name as string);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !(name in manifest.scripts))).toEqual([]);
  });

  test('CONTRIBUTING.md: each path that it names is there', () => {
    const paths = [...text.matchAll(/`((?:native|lib|test|docs|deploy|scripts|bench)\/[\w./{},-]*)`/g)].flatMap(
      ([, path]) => {
        const [, before, inner, after] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path as string) ?? [];
        return inner === undefined ? [path as string] : inner.split(',').map((part) => `${before}${part}${after}`);
      },
    );
    expect(paths.length).toBeGreaterThan(40);
    expect(paths.filter((path) => !existsSync(join(packageRoot, path)))).toEqual([]);
  });
});
