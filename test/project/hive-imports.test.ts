import { readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../dist', import.meta.url));

/** The packages that a built file loads with everything that it imports at once, and by which file. */
function packagesOf(start: string): ReadonlyMap<string, string> {
  const seen = new Set([join(root, start)]);
  const packages = new Map<string, string>();
  for (const file of seen)
    for (const [, module = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s(?:[^;'"]*\sfrom\s)?['"]([^'"]+)['"]/gm,
    ))
      if (module.includes('/vendor/')) packages.set(basename(module, '.js'), relative(root, file));
      else if (module.startsWith('.')) seen.add(join(dirname(file), module));
      else if (!module.startsWith('node:') && !packages.has(module)) packages.set(module, relative(root, file));
  return packages;
}

it('a hive loads no library of schemas, of servers or of clients: each is some MiB on every host', () => {
  const packages = packagesOf('daemon/hive.js');
  expect(
    [...packages.keys()].filter((name) => /^(?:typebox|fastify|@fastify|undici|ws|prom-client)\b/.test(name)),
  ).toEqual([]);
  // It finds what there is.
  expect([...packagesOf('daemon/queen.js').keys()]).toEqual(expect.arrayContaining(['fastify', 'ws', 'typebox']));
});
