import { existsSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Begins with these files, in this order: what takes longest would end alone if it began last. */
export function firstFiles(...paths: readonly string[]): typeof BaseSequencer {
  const root = new URL('../../', import.meta.url);
  for (const path of paths) if (!existsSync(new URL(path, root))) throw new Error(`there is no ${path} to begin with`);
  const place = ({ moduleId }: TestSpecification): number => {
    const index = paths.findIndex((path) => moduleId.endsWith(`/${path}`));
    return index < 0 ? paths.length : index;
  };
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      return (await super.sort(files)).sort((a, b) => place(a) - place(b));
    }
  };
}
