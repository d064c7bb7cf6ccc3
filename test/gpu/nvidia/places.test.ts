import { readdirSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { libraryDirectories, libraryPaths } from '../../../lib/gpu/nvidia/places.js';

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
