// `npm run build:prebuilds [-- TARGET...]`: builds what the package ships into prebuilds/<platform>-<arch>/, for each target the
// addon (through prebuildify), hivepulse-gpu and, once per architecture, hivepulse-launch, which is linked statically.
// One compiler for all targets (scripts/tools.js): it brings each C library in the version asked for.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { floor } from './check-glibc.js';
import { copyNativeSources, must, root } from './run.js';
import { zig } from './tools.js';

const require = createRequire(import.meta.url);

const machines = { x64: 'x86_64', arm64: 'aarch64' };
const targets = Object.keys(machines).flatMap((arch) =>
  ['glibc', 'musl'].map((libc) => ({ name: `linux-${arch}-${libc}`, arch, libc })),
);

const triple = ({ arch, libc }) => `${machines[arch]}-linux-${libc === 'musl' ? 'musl' : `gnu.${floor}`}`;

/** prebuildify runs node-gyp, which owns build/ beside binding.gyp: it gets a copy. */
function buildTarget(target, work) {
  const compiler = zig();
  const flags = `-target ${triple(target)}`;
  copyNativeSources(work);
  const environment = {
    ...process.env,
    CC: `${compiler} cc ${flags}`,
    CXX: `${compiler} c++ ${flags}`,
    LINK: `${compiler} c++ ${flags}`,
    // -s strips, for every architecture alike.
    LDFLAGS: target.libc === 'musl' ? '-s -dynamic' : '-s',
    PREBUILD_LIBC: target.libc,
    // All cores, for node-gyp.
    JOBS: 'max',
  };
  const options = ['--napi', '--tag-libc', '--name', 'hivepulse', '--arch', target.arch, '--platform', 'linux'];
  const prebuildify = require.resolve('prebuildify/bin.js');
  must(process.execPath, [prebuildify, ...options, '--target', process.versions.node, '--cwd', work, '--out', root], {
    cwd: work,
    env: environment,
  });
  const shipped = join(root, 'prebuilds', `linux-${target.arch}`);
  const helper = join(shipped, `hivepulse-gpu.${target.libc}`);
  copyFileSync(join(work, 'build/Release/hivepulse-gpu'), helper);
  chmodSync(helper, 0o755);
  // The launcher calls the kernel and little else: one static file runs on any Linux.
  const launcher = join(shipped, 'hivepulse-launch');
  const anyLinux = [
    '-target',
    triple({ arch: target.arch, libc: 'musl' }),
    '-static',
    '-s',
    '-Os',
    '-fstack-protector-strong',
  ];
  must(compiler, ['cc', ...anyLinux, join(root, 'native/launch_main.c'), '-o', launcher]);
  chmodSync(launcher, 0o755);
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !targets.some((target) => target.name.startsWith(name)));
if (unknown) {
  console.error(`prebuild: ${unknown} is none of ${targets.map(({ name }) => name).join(', ')}`);
  process.exit(1);
}
const chosen = targets.filter(({ name }) => asked.length === 0 || asked.some((start) => name.startsWith(start)));
if (asked.length === 0) rmSync(join(root, 'prebuilds'), { recursive: true, force: true });
mkdirSync(join(root, 'prebuilds'), { recursive: true });
writeFileSync(join(root, 'prebuilds/.gitkeep'), '');
for (const target of chosen) {
  const began = Date.now();
  const work = mkdtempSync(join(tmpdir(), 'hivepulse-prebuild-'));
  try {
    buildTarget(target, work);
  } catch (error) {
    console.error(`prebuild: ${target.name}: ${error.message}`);
    process.exitCode = 1;
    break;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`prebuild: ${target.name} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
}
