// `npm run check:package [-- --release]`: what `npm pack` would publish is needed, whole and well-formed: only files that the
// list below allows, every one that must be there, hardened binaries, entry points as publint and arethetypeswrong want them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { hardeningProblems } from './hardening.js';
import { at, isMain, read } from './run.js';

const allowed = [
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|binding\.gyp|scripts\/install\.js)$/,
  /^dist\/[\w./-]+\.js$/,
  /^dist\/[\w./-]+\.d\.ts$/,
  /^dist\/dashboard\/(index\.html|assets\/[\w.-]+\.(js|css|svg|woff2))$/,
  /^native\/\w+\.(cc|c|h)$/,
  /^prebuilds\/linux-(x64|arm64)\/(hivepulse\.(glibc|musl)\.node|hivepulse-gpu\.(glibc|musl)|hivepulse-launch)$/,
];

/** Needed in every tarball. */
const always = [
  'package.json',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'binding.gyp',
  'scripts/install.js',
  'native/addon.cc',
  'native/launch_main.c',
  'native/gpu_helper_main.cc',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  'dist/client/client.js',
  'dist/contract/index.js',
  'dist/cgroup/files-thread.js',
  'dist/io/worker-file-reader-thread.js',
  'dist/dashboard/index.html',
];

/** Needed in what is published: `--release` asks for them. */
const released = ['x64', 'arm64'].flatMap((arch) =>
  ['hivepulse.glibc.node', 'hivepulse.musl.node', 'hivepulse-gpu.glibc', 'hivepulse-gpu.musl', 'hivepulse-launch'].map(
    (file) => `prebuilds/linux-${arch}/${file}`,
  ),
);

/** What is wrong with a list of packed files (`path` and `mode` of each). */
export function judgeFiles(files, { release = false } = {}) {
  const paths = new Set(files.map(({ path }) => path));
  const needed = release ? [...always, ...released] : always;
  const runnable = /^prebuilds\/.*\/(hivepulse-gpu\.\w+|hivepulse-launch)$/;
  return [
    ...[...paths]
      .filter((path) => !allowed.some((pattern) => pattern.test(path)))
      .map((path) => `${path} is packed, and must not be`),
    ...needed.filter((path) => !paths.has(path)).map((path) => `${path} is not packed`),
    ...files
      .filter(({ path, mode }) => runnable.test(path) && (mode & 0o111) !== 0o111)
      .map(({ path }) => `${path} may not be executed by all`),
  ];
}

/** Packs into `work`, says what is wrong with it, and where the tarball is. */
export async function packAndJudge(work, { release }) {
  const problems = [];
  // Packed for real, since attw and publint read the tarball; the list is that of `npm pack --dry-run --json`.
  const [packed] = JSON.parse(read('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work]));
  const tarball = join(work, packed.filename);
  problems.push(...judgeFiles(packed.files, { release }));
  const bytes = readFileSync(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
    strict: true,
  });
  problems.push(...messages.map((message) => `publint: ${formatMessage(message, pkg)}`));
  // esm-only: CommonJS callers come by require(esm), which every supported Node has.
  const attw = at('node_modules/.bin/attw');
  const types = spawnSync(attw, [tarball, '--profile', 'esm-only', '--no-color', '--no-emoji'], { encoding: 'utf8' });
  if (types.status !== 0) problems.push(`attw: ${types.stdout || types.stderr || types.error?.message}`);
  const megabytes = (packed.size / 1e6).toFixed(2);
  console.log(
    `check:package: ${packed.files.length} files, ${megabytes} MB packed, ${(packed.unpackedSize / 1e6).toFixed(2)} MB unpacked`,
  );
  for (const problem of problems) console.error(`check:package: ${problem}`);
  return { tarball, problems };
}

async function main() {
  const work = mkdtempSync(join(tmpdir(), 'hivepulse-pack-'));
  try {
    const { problems } = await packAndJudge(work, { release: process.argv.includes('--release') });
    const soft = hardeningProblems();
    for (const problem of soft) console.error(`check:package: ${problem}`);
    return problems.length + soft.length === 0 ? 0 : 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (isMain(import.meta)) process.exit(await main());
