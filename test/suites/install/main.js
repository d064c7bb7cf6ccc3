// `npm run test:install [-- --arm64] [-- --node 22] [-- --tarball FILE]`: the packed tarball, installed into fresh directories as its users do
// on hosts without a compiler and with install scripts off, under each supported Node; then used (test/suites/install/consumer).
// --arm64 does the same for the arm64 build, under qemu-user. Writes what was run to test-results/install.json.
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../../scripts/run.js';
import { nodeBinary } from '../../../scripts/tools.js';

const require = createRequire(import.meta.url);
const consumer = join(root, 'test/suites/install/consumer');
const { values } = parseArgs({
  options: { arm64: { type: 'boolean' }, node: { type: 'string', multiple: true }, tarball: { type: 'string' } },
});
/** The oldest Node that `engines` allows, and the newest of each later line. */
const releases = values.node ?? ['20.19.0', '22', '24'];
const linux = process.platform === 'linux';

const work = mkdtempSync(join(tmpdir(), 'hivepulse-install-'));
const results = [];
const children = new Set();

class Failed extends Error {}

/** Runs to the end; throws with what it said where the status is not 0. */
function run(command, args, { cwd, env = process.env, timeout = 180_000 }) {
  const result = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout, maxBuffer: 64e6 });
  if (result.status === 0) return result.stdout;
  const said = [result.error?.message, result.stdout, result.stderr].filter(Boolean).join('\n');
  throw new Failed(`${command} ${args.join(' ')} ended with ${result.signal ?? result.status}\n${said}`);
}

async function check(where, what, body) {
  const began = Date.now();
  try {
    const detail = await body();
    results.push({ where, what, ok: true, ms: Date.now() - began, ...(detail ? { detail } : {}) });
    console.log(`ok   ${where}: ${what}${detail ? ` (${detail})` : ''} ${Date.now() - began} ms`);
  } catch (error) {
    results.push({ where, what, ok: false, ms: Date.now() - began, error: error.message });
    console.error(`FAIL ${where}: ${what}\n${error.message}`);
  }
}

/** A PATH that holds Node, a shell and little else: in particular no compiler, make or python. */
function barePath(node) {
  const bin = join(work, `bin-${node.replaceAll('/', '_')}`);
  if (existsSync(bin)) return bin;
  mkdirSync(bin);
  symlinkSync(node, join(bin, 'node'));
  for (const name of ['sh', 'env', 'cat', 'sed', 'uname', 'dirname', 'basename']) {
    const found = ['/usr/bin', '/bin'].map((directory) => join(directory, name)).find(existsSync);
    if (found) symlinkSync(found, join(bin, name));
  }
  return bin;
}

function environment(node) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|HIVEPULSE_|NODE_OPTIONS|CC$|CXX$)/i.test(name));
  return { ...Object.fromEntries(kept), PATH: barePath(node) };
}

/** npm's own program, to be run by any Node. */
const npmCli = join(dirname(run('npm', ['root', '--global'], { cwd: root }).trim()), 'node_modules/npm/bin/npm-cli.js');

function install(name, node, tarball, ...flags) {
  const directory = join(work, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  const options = ['--no-audit', '--no-fund', '--prefer-offline', '--engine-strict', '--loglevel=error', ...flags];
  const said = run(node, [npmCli, 'install', ...options, tarball], {
    cwd: directory,
    env: environment(node),
    timeout: 300_000,
  });
  for (const file of readdirSync(consumer)) copyFileSync(join(consumer, file), join(directory, file));
  return { directory, said };
}

/** `hivepulse up` from the installed bin, asked over HTTP and by the command line, ended by SIGTERM. */
async function commandLine(directory, node, runner = []) {
  const bin = join(directory, 'node_modules/hivepulse/dist/cli/main.js');
  if (!statSync(join(directory, 'node_modules/.bin/hivepulse')).isFile()) throw new Failed('bin is missing');
  const env = environment(node);
  const [program, ...before] = [...runner, node];
  const args = ['up', '--port', '0', '--hive-port', '0', '--gpu', 'none', '--no-auto', '--id', 'installed'];
  const child = spawn(program, [...before, bin, ...args], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let said = '';
  const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Failed(`it does not listen:\n${said}`)), 60_000);
    const take = (chunk) => {
      said += chunk;
      const match = /page is at (http:\/\/[^\s"]+?)\/?["\s]/.exec(said);
      if (match) {
        clearTimeout(timer);
        resolve(match[1]);
      }
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    ended.then((how) => reject(new Failed(`it ended with ${how}:\n${said}`)));
  });
  const query = ['hives', '--queen', url, '--json'];
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = JSON.parse(run(program, [...before, bin, ...query], { cwd: directory, env }));
    if ((answer.items ?? answer).some(({ id }) => id === 'installed')) break;
    if (Date.now() > deadline) throw new Failed(`the queen does not know its hive:\n${said}`);
  }
  child.kill('SIGTERM');
  const how = await ended;
  children.delete(child);
  if (how !== 0) throw new Failed(`SIGTERM ended it with ${how}:\n${said}`);
}

/** The two executables of the package say what they should, so they are for this machine and may be executed. */
function executables(directory, arch, runner = []) {
  const shipped = join(directory, 'node_modules/hivepulse/prebuilds', `linux-${arch}`);
  const start = (file, ...args) => {
    const [program, ...before] = [...runner, join(shipped, file)];
    return spawnSync(program, [...before, ...args], { input: 'close\n', encoding: 'utf8', timeout: 30_000 });
  };
  const launched = start('hivepulse-launch', '--', '/no/such/command');
  if (launched.status !== 127)
    throw new Failed(`hivepulse-launch: ${launched.status} ${launched.error ?? launched.stderr}`);
  const gpu = start('hivepulse-gpu.glibc', '--library', '/no/such/library.so');
  if (gpu.status !== 0) throw new Failed(`hivepulse-gpu: ${gpu.status} ${gpu.error ?? gpu.stderr}`);
  for (const line of gpu.stdout.trim().split('\n').filter(Boolean)) JSON.parse(line);
}

function pack() {
  if (values.tarball !== undefined) return resolve(values.tarball);
  run('npm', ['run', '--silent', 'build', '--', '--if-needed'], { cwd: root, timeout: 600_000 });
  const needed = ['x64', ...(values.arm64 ? ['arm64'] : [])].filter(
    (arch) => linux && (arch === process.arch || values.arm64),
  );
  const newest = Math.max(
    ...['native', 'binding.gyp'].flatMap((path) => {
      const full = join(root, path);
      return statSync(full).isDirectory()
        ? readdirSync(full).map((file) => statSync(join(full, file)).mtimeMs)
        : [statSync(full).mtimeMs];
    }),
  );
  for (const arch of needed) {
    const file = join(root, `prebuilds/linux-${arch}/hivepulse.glibc.node`);
    const launcher = join(root, `prebuilds/linux-${arch}/hivepulse-launch`);
    if ([file, launcher].every((path) => existsSync(path) && statSync(path).mtimeMs >= newest)) continue;
    console.log(`test:install: building linux-${arch}-glibc`);
    run('npm', ['run', '--silent', 'build:prebuilds', '--', `linux-${arch}-glibc`], { cwd: root, timeout: 1_200_000 });
  }
  const [{ filename }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], { cwd: root }),
  );
  return join(work, filename);
}

async function onNode(release, tarball) {
  const node = linux ? nodeBinary(release) : process.execPath;
  const where = `node ${run(node, ['--version'], { cwd: root }).trim()}`;
  // Elsewhere there are no cgroups to read.
  const reader = linux ? 'native' : 'none';
  let directory;
  await check(where, 'installs with scripts off, every package accepting this Node', () => {
    ({ directory } = install(`node-${release}`, node, tarball, '--ignore-scripts'));
  });
  if (directory === undefined) return null;
  const env = environment(node);
  const use = (file, ...args) => run(node, [file, ...args], { cwd: directory, env }).trim();
  await check(where, 'import: sample, start, query, stop', () => use('service.mjs', reader));
  await check(where, 'require', () => use('require.cjs', reader));
  await check(where, 'in a worker thread', () => use('thread.mjs', reader));
  await check(where, 'bundled by esbuild, the addon left out', () => {
    const esbuild = join(root, 'node_modules/.bin/esbuild');
    const options = [
      '--bundle',
      '--platform=node',
      '--format=esm',
      '--target=node20',
      '--external:*.node',
      // It reads files that lie beside it.
      '--external:@fastify/swagger-ui',
      '--log-level=warning',
    ];
    // Packages in CommonJS call require, which a bundle in ESM has to be given.
    const banner =
      "--banner:js=import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);";
    run(esbuild, ['service.mjs', ...options, banner, '--outfile=out/bundle.mjs'], { cwd: directory });
    return use('out/bundle.mjs', reader);
  });
  await check(where, 'command line: up, hives, SIGTERM', () => commandLine(directory, node));
  if (linux) await check(where, 'hivepulse-launch and hivepulse-gpu run', () => executables(directory, process.arch));
  return { node, directory, where };
}

/** Only Linux has a binary to go without. */
async function withoutItsBinary({ node, directory, where, env }) {
  const prebuilds = join(directory, 'node_modules/hivepulse/prebuilds');
  await check(where, 'without a binary the TypeScript reader works, and doctor says why', () => {
    cpSync(prebuilds, join(directory, 'kept'), { recursive: true });
    rmSync(prebuilds, { recursive: true });
    run(node, ['service.mjs', 'files'], { cwd: directory, env });
    const bin = join(directory, 'node_modules/hivepulse/dist/cli/main.js');
    const result = spawnSync(node, [bin, 'doctor', '--json'], {
      cwd: directory,
      env,
      encoding: 'utf8',
      timeout: 60_000,
    });
    const addon = JSON.parse(result.stdout).findings.find(
      (finding) => finding.id === 'addon' || finding.check === 'addon' || finding.name === 'addon',
    );
    if (addon === undefined || addon.status === 'ok' || !/TypeScript reader/.test(JSON.stringify(addon))) {
      throw new Failed(`doctor says ${JSON.stringify(addon)}`);
    }
    cpSync(join(directory, 'kept'), prebuilds, { recursive: true });
  });
  await check(where, 'the install script ends well where nothing can be compiled', () => {
    rmSync(prebuilds, { recursive: true });
    const said = run(node, ['scripts/install.js'], { cwd: join(directory, 'node_modules/hivepulse'), env });
    if (!/TypeScript reader is used/.test(said)) throw new Failed(`it said: ${said}`);
    cpSync(join(directory, 'kept'), prebuilds, { recursive: true });
    const silent = run(node, ['scripts/install.js'], { cwd: join(directory, 'node_modules/hivepulse'), env });
    if (silent !== '') throw new Failed(`with a binary that loads it said: ${silent}`);
  });
}

async function once({ node, directory, where }) {
  const env = environment(node);
  if (linux) await withoutItsBinary({ node, directory, where, env });
  await check(where, 'types, in ESM and in CommonJS', () => {
    mkdirSync(join(directory, 'node_modules/@types'), { recursive: true });
    for (const name of ['@types/node', 'undici-types']) {
      const target = join(directory, 'node_modules', name);
      if (!existsSync(target)) symlinkSync(join(root, 'node_modules', name), target);
    }
    const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
    run(process.execPath, [tsc, '-p', '.'], { cwd: directory });
  });
}

/** The same tarball for arm64: its Node, its addon and its executables, under qemu-user with Debian's cross libraries. */
async function onArm64(installed) {
  const where = 'arm64 under qemu';
  // By its path: what it runs has a PATH without it.
  const emulator = ['/usr/bin', '/usr/local/bin'].map((bin) => join(bin, 'qemu-aarch64-static')).find(existsSync);
  const runner = [emulator ?? 'qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'];
  const missing = [
    [emulator === undefined, 'qemu-user-static'],
    [!existsSync('/usr/aarch64-linux-gnu/lib/libc.so.6'), 'libc6-arm64-cross'],
    [!existsSync('/usr/aarch64-linux-gnu/lib/libstdc++.so.6'), 'libstdc++6-arm64-cross'],
  ].filter(([gone]) => gone);
  await check(where, 'emulator and libraries', () => {
    if (missing.length > 0) throw new Failed(`missing: apt-get install ${missing.map(([, name]) => name).join(' ')}`);
  });
  if (missing.length > 0) return;
  for (const release of releases) {
    await check(`node ${release}, ${where}`, 'sample, start, query, stop', () => {
      const node = nodeBinary(release, 'arm64');
      const args = [...runner.slice(1), node, 'service.mjs', 'native'];
      const said = run(runner[0], args, {
        cwd: installed.directory,
        env: environment(installed.node),
        timeout: 300_000,
      }).trim();
      if (!said.includes('"arch":"arm64"')) throw new Failed(said);
      return said;
    });
  }
  await check(where, 'hivepulse-launch and hivepulse-gpu run', () => executables(installed.directory, 'arm64', runner));
}

try {
  const tarball = pack();
  let first = null;
  for (const release of linux ? releases : [process.version]) {
    const installed = await onNode(release, tarball);
    first ??= installed;
  }
  if (first !== null) await once(first);
  if (first !== null && values.arm64) await onArm64(first);
} catch (error) {
  results.push({ where: 'preparation', what: 'packed', ok: false, error: error.message });
  console.error(`FAIL preparation\n${error.stack}`);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
}
const failed = results.filter(({ ok }) => !ok);
mkdirSync(join(root, 'test-results'), { recursive: true });
writeFileSync(
  join(root, 'test-results/install.json'),
  `${JSON.stringify({ failed: failed.length, results }, null, 2)}\n`,
);
console.log(`test:install: ${results.length - failed.length} passed, ${failed.length} failed`);
process.exit(failed.length === 0 && results.length > 0 ? 0 : 1);
