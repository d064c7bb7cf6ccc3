// What the scripts share: where the project is, running a command, and a place where node-gyp may build a variant.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
export const at = (...paths) => join(root, ...paths);
export const isMain = ({ url }) => process.argv[1] === fileURLToPath(url);

/** Debian's package of a program, where it is not of the same name. */
const packages = {
  clang: 'clang',
  'clang++': 'clang libclang-rt-14-dev',
  'llvm-cov': 'llvm',
  'llvm-profdata': 'llvm',
  'musl-gcc': 'musl-tools',
  objdump: 'binutils',
};

/** Runs a command in the project, on this terminal unless told otherwise. A program that is missing ends the script. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', maxBuffer: 256e6, ...options });
  if (result.error?.code === 'ENOENT') {
    console.error(`${command} is missing: apt-get install ${packages[command] ?? command}`);
    process.exit(1);
  }
  if (result.error) throw result.error;
  return result;
}

/** The same; throws where the status is not 0. Returns what it wrote, where that was asked for. */
export function must(command, args, options) {
  const { status, signal, stdout } = run(command, args, options);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} ended with ${status ?? signal}`);
}

/** What a command writes; throws with its words where it fails, unless `allowed` matches them. */
export function read(command, args, { allowed, ...options } = {}) {
  const { status, signal, stdout, stderr } = run(command, args, { stdio: 'pipe', encoding: 'utf8', ...options });
  if (status === 0 || allowed?.test(stderr)) return stdout;
  throw new Error(`${command} ${args.join(' ')} ended with ${signal ?? status}\n${stdout}${stderr}`);
}

/** node-gyp builds beside binding.gyp: `directory` becomes a copy of the sources, which keeps the usual build as it is. */
export function copyNativeSources(directory) {
  mkdirSync(directory, { recursive: true });
  for (const path of ['native', 'binding.gyp', 'package.json']) {
    rmSync(join(directory, path), { recursive: true, force: true });
    cpSync(at(path), join(directory, path), { recursive: true, preserveTimestamps: true });
  }
  rmSync(join(directory, 'node_modules'), { force: true });
  symlinkSync(at('node_modules'), join(directory, 'node_modules'));
}

/** Builds the addon and the executables in `directory`, which is such a copy; or one `target` of binding.gyp alone. */
export function buildNative(directory, { definition, target, env = process.env }) {
  copyNativeSources(directory);
  const gyp = ['--silent', 'exec', '--', 'node-gyp', '--loglevel=warn'];
  must('npm', [...gyp, 'configure', '--', `-D${definition}`], { cwd: directory, env });
  must('npm', [...gyp, 'build', '-j', 'max', ...(target ? ['--', target] : [])], { cwd: directory, env });
}
