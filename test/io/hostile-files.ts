import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';

/** What somebody may put where a file is expected. */
export type Hostile =
  | { readonly kind: 'fifo' | 'directory' | 'socket' | 'loop' }
  | { readonly kind: 'link'; readonly to: string }
  | { readonly kind: 'sparse'; readonly bytes: number }
  | { readonly kind: 'bytes'; readonly content: Uint8Array };

export const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  fc.constantFrom<Hostile>({ kind: 'fifo' }, { kind: 'directory' }, { kind: 'socket' }, { kind: 'loop' }),
  fc.record({
    kind: fc.constant('link' as const),
    to: fc.constantFrom('/dev/zero', '/dev/urandom', '/dev/tty', '/etc/passwd', '/proc/self/mem', '/nowhere', '..'),
  }),
  fc.record({ kind: fc.constant('sparse' as const), bytes: fc.integer({ min: 5 * 2 ** 20, max: 2 ** 36 }) }),
  fc.record({ kind: fc.constant('bytes' as const), content: fc.uint8Array({ maxLength: 300 }) }),
);

/** Puts it at the path. Sockets of the servers that are returned stay until those are closed. */
export async function plant(path: string, what: Hostile): Promise<Server | null> {
  if (what.kind === 'fifo') execFileSync('mkfifo', [path]);
  else if (what.kind === 'directory') mkdirSync(path);
  else if (what.kind === 'loop') symlinkSync(path, path);
  else if (what.kind === 'link') symlinkSync(what.to, path);
  else if (what.kind === 'bytes') writeFileSync(path, what.content);
  else if (what.kind === 'sparse') {
    writeFileSync(path, '');
    truncateSync(path, what.bytes);
  } else {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return server;
  }
  return null;
}

/** Plants each under a name of its own below `directory`, calls `work` with their paths, and removes the sockets. */
export async function withPlanted(
  directory: string,
  all: readonly Hostile[],
  nameOf: (place: number) => string,
  work: (paths: readonly string[]) => Promise<void>,
): Promise<void> {
  const paths = all.map((_, place) => join(directory, nameOf(place)));
  const servers = [];
  for (const [place, what] of all.entries()) servers.push(await plant(paths[place] as string, what));
  try {
    await work(paths);
  } finally {
    for (const server of servers) server?.close();
  }
}
