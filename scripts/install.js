// Runs on `npm install`: uses a prebuilt addon where one fits, else compiles one, else leaves the TypeScript reader.
// Never fails the installation: without the addon everything works, only slower, and says so.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

if (process.platform !== 'linux') {
  console.log('hivepulse: no native reader on this platform; the TypeScript reader is used.');
} else if (existsSync(join(root, 'build/Release/hivepulse.node'))) {
  // Already built here.
} else {
  const found = spawnSync('node-gyp-build-test', [], { cwd: root, stdio: 'ignore', shell: true });
  if (found.status !== 0) {
    const built = spawnSync('node-gyp', ['rebuild'], { cwd: root, encoding: 'utf8', shell: true });
    if (built.status !== 0) {
      const reason = (built.stderr ?? '')
        .split('\n')
        .filter((line) => /error|ERR!/i.test(line))
        .slice(0, 5)
        .join('\n  ');
      console.log(`hivepulse: the native reader could not be built; the TypeScript reader is used.\n  ${reason}`);
      console.log(
        'hivepulse: to build it, install python3, make and a C++17 compiler, then run `npm rebuild hivepulse`.',
      );
    }
  }
}
