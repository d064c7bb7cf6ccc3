import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const lib = fileURLToPath(new URL('../../lib/', import.meta.url));

it('heartbeats come into the queen by one door: only the intake calls readHeartbeat', () => {
  const callers = readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file))
    .flatMap((file) => {
      const calls = readFileSync(lib + file, 'utf8').matchAll(/(?<!function )\breadHeartbeat\(/g);
      return [...calls].map(() => file);
    });
  expect(callers).toEqual(['queen/intake.ts']);
});
