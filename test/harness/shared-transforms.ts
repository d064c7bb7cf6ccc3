import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vitest/config';

/** The names of all files that a suite may import: a module that is compiled names those that it imports. */
function namesOfSources(): string {
  const names = ['lib', 'test', 'bench'].flatMap((directory) =>
    readdirSync(fileURLToPath(new URL(`../../${directory}`, import.meta.url)), {
      recursive: true,
      encoding: 'utf8',
    }).sort(),
  );
  return createHash('sha1').update(names.join('\n')).digest('hex');
}

/** Nothing in the configurations of the suites changes what a file is compiled to, but by itself vitest keeps it apart for each. */
const plugin: Plugin = {
  name: 'hivepulse:shared-transforms',
  configResolved: ({ configFileDependencies }) => {
    configFileDependencies.length = 0;
  },
  configureVitest: ({ experimental_defineCacheKeyGenerator: addToKey }) => {
    const names = namesOfSources();
    addToKey(() => names);
  },
};

/** What one run of vitest has compiled the next one takes, whichever suite it is; not where lines are counted. */
export const sharedTransforms = {
  plugins: [plugin],
  experimental: { fsModuleCache: process.env.HIVEPULSE_V8_COVERAGE === undefined },
};
