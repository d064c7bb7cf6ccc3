/** A worker with known loads: each begins when its file is there, and leaves what it used by its own count. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../../harness/wait.js';

export interface KnownLoad {
  readonly cpuSeconds: number;
  /** That it holds beside what it held before. */
  readonly memoryBytes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export const ioBytes = 64 * 2 ** 20;
export const heldBytes = 256 * 2 ** 20;

const burner = `const burn = (ms) => {
  const used = () => { const { user, system } = process.cpuUsage(); return user + system; };
  for (const end = used() + ms * 1000; used() < end;);
  return used();
};`;

/** Run by `node -e`, with a directory. */
export const script = `
const { existsSync, writeFileSync } = require('node:fs');
const { execFileSync } = require('node:child_process');
const directory = process.argv[1];
${burner}
let held = null;
const loads = {
  // Half by itself, half by a child that it waits for.
  cpu() {
    const before = burn(0);
    const own = burn(1000) - before;
    const child = execFileSync(process.execPath, ['-e', ${JSON.stringify(`${burner} console.log(burn(1000))`)}], { encoding: 'utf8' });
    return { cpuSeconds: (own + Number(child)) / 1e6 };
  },
  memory() {
    const before = process.memoryUsage().rss;
    held = Buffer.alloc(${heldBytes}, 1);
    return { memoryBytes: process.memoryUsage().rss - before };
  },
  io() {
    const file = directory + '/data';
    execFileSync('dd', ['if=/dev/zero', 'of=' + file, 'bs=1M', 'count=${ioBytes / 2 ** 20}', 'oflag=direct'], { stdio: 'ignore' });
    execFileSync('dd', ['if=' + file, 'of=/dev/null', 'bs=1M', 'iflag=direct'], { stdio: 'ignore' });
    return { readBytes: ${ioBytes}, writtenBytes: ${ioBytes} };
  },
};
setInterval(() => {
  for (const [name, load] of Object.entries(loads)) {
    if (!existsSync(directory + '/' + name) || existsSync(directory + '/' + name + '.done')) continue;
    let said;
    try { said = JSON.stringify(load()); } catch (error) { said = JSON.stringify({ failed: String(error) }); }
    writeFileSync(directory + '/' + name + '.done', said);
  }
}, 50);
console.log('at work');
`;

/** Has the worker in `directory` bear one load, and gives what that was. */
export async function bear(directory: string, load: 'cpu' | 'memory' | 'io'): Promise<Partial<KnownLoad>> {
  writeFileSync(join(directory, load), '');
  const done = join(directory, `${load}.done`);
  const read = (): string => (existsSync(done) ? readFileSync(done, 'utf8') : '');
  const said = await waitFor(() => read() || null, { timeoutMs: 40_000, what: `the worker to bear the ${load} load` });
  const { failed, ...used } = JSON.parse(said) as Partial<KnownLoad> & { failed?: string };
  if (failed !== undefined) throw new Error(failed);
  return used;
}
