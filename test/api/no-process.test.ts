import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const lib = fileURLToPath(new URL('../../lib', import.meta.url));
/** What answers the requests of a queen and of a hive. */
const answering = ['api', 'http', 'queen', 'cluster', 'nats', 'hive'];

it('nothing that answers requests starts a process or launches a worker', () => {
  const files = answering.flatMap((room) =>
    readdirSync(join(lib, room), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(lib, room, path)),
  );
  expect(files.length).toBeGreaterThan(80);
  for (const file of files)
    expect(readFileSync(file, 'utf8'), file).not.toMatch(/child_process|from '[^']*\/(?:launch|cli)\//);
});
