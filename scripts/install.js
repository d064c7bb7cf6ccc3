// Runs on `npm install`: uses a prebuilt addon where one loads, else compiles one, else leaves the TypeScript reader.
// Never fails the installation: without the addon everything works, only slower, and `hivepulse doctor` says so.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const say = (text) => console.log(`hivepulse: ${text}`);

/** Whether the addon that would be used loads. In a process of its own: a broken binary may end it. */
function loads() {
  const script = `require(${JSON.stringify(require.resolve('node-gyp-build'))})(${JSON.stringify(root)})`;
  return spawnSync(process.execPath, ['-e', script], { stdio: 'ignore', timeout: 30_000 }).status === 0;
}

/** Compiles it; null, or why that failed. npm puts its node-gyp on the path of install scripts. */
function compile() {
  const built = spawnSync('node-gyp', ['rebuild', '-j', 'max'], { cwd: root, encoding: 'utf8', timeout: 15 * 60_000 });
  if (built.status === 0 && loads()) return null;
  // What a build broken off left behind would be taken before a prebuilt one.
  rmSync(join(root, 'build'), { recursive: true, force: true });
  if (built.error) return built.error.code === 'ENOENT' ? 'node-gyp was not found' : built.error.message;
  const errors = (built.stderr ?? '').split('\n').filter((line) => /error|ERR!/i.test(line));
  return errors.slice(0, 5).join('\n  ') || `node-gyp ended with ${built.signal ?? `status ${built.status}`}`;
}

function install() {
  if (process.platform !== 'linux') {
    say(`there is no native reader for ${process.platform}; the TypeScript reader is used.`);
    return;
  }
  if (loads()) return;
  const reason = compile();
  if (reason === null) return;
  say(`the native reader could not be built; the TypeScript reader is used.\n  ${reason}`);
  say('to build it, install python3, make and a C++17 compiler, then run `npm rebuild hivepulse`.');
}

try {
  install();
} catch (error) {
  say(`the native reader could not be set up (${error.message}); the TypeScript reader is used.`);
}
