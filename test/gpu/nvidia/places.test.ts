import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import {
  deviceFile,
  libraryDirectories,
  libraryPaths,
  moduleGpus,
  tegraDriver,
} from '../../../lib/gpu/nvidia/places.js';
import { temporaryDirectory } from '../../harness/leftovers.js';

const native = fileURLToPath(new URL('../../../native', import.meta.url));

it('the library of the driver is looked for as the loader does, then in a fixed list; below another root there alone', () => {
  const file = 'libnvidia-ml.so.1';
  const known = libraryDirectories.map((directory) => `${directory}/${file}`);
  expect(known.every((path) => isAbsolute(path))).toBe(true);
  expect(libraryPaths()).toEqual([file, ...known]);
  expect(libraryPaths('/host')).toEqual(known.map((path) => `/host${path}`));
});

it('no other library is loaded', () => {
  const loading = readdirSync(native, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(?:cc|c|h)$/.test(path))
    .filter((path) => /\bdlm?open\s*\(/.test(readFileSync(join(native, path), 'utf8')));
  expect(loading).toEqual(['nvml_library.cc']);
});

it('the module says its GPUs, and that of a board says itself; without it there is neither', () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  const { path } = directory;
  expect([moduleGpus(path), tegraDriver(path)]).toEqual([[], false]);
  mkdirSync(join(path, 'gpus/0000:01:00.0'), { recursive: true });
  mkdirSync(join(path, 'module/nvgpu'), { recursive: true });
  expect([moduleGpus(path), tegraDriver(path)]).toEqual([['0000:01:00.0'], true]);
  const names = ['/dev/nvidia0', '/dev/nvidia12', '/dev/nvidiactl', '/dev/nvidia0x', '/x/dev/nvidia0'];
  expect(names.map((name) => deviceFile.test(name))).toEqual([true, true, false, false, false]);
});
