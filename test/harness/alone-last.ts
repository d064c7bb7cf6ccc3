import type { TestProjectInlineConfiguration } from 'vitest/config';
import { secondTry } from './second-try.js';
import { sharedTransforms } from './shared-transforms.js';

/**
 * The test files of a directory, more at a time than there are cores since they mostly wait, and after them, one by one, those
 * named `alone`: their figures are held to limits.
 */
export function aloneLast(
  directory: string,
  alone: readonly string[],
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration[] {
  const files = alone.map((name) => `${directory}/${name}.test.ts`);
  const { plugins, experimental } = sharedTransforms;
  const common = { ...test, experimental, hookTimeout: 60_000, retry: secondTry.retry };
  return [
    {
      plugins,
      test: {
        ...common,
        name: 'together',
        include: [`${directory}/**/*.test.ts`],
        exclude: files,
        maxWorkers: 3,
        sequence: { groupOrder: 0 },
      },
    },
    {
      plugins,
      test: { ...common, name: 'alone', include: files, maxWorkers: 1, sequence: { groupOrder: 1 } },
    },
  ];
}
