import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { waitFor } from './wait.js';

const server = fileURLToPath(new URL('fuse-proc.js', import.meta.url));

/** A directory seen through FUSE, where some files can be made never to answer. */
export interface Mirror {
  /** What the server has said: `blocked PATH` for each read that it holds up. */
  readonly lines: readonly string[];
  /** `wedge PATH` (relative) or `release`; resolves when it is in force. */
  tell(command: string): Promise<void>;
  close(): Promise<void>;
}

export async function mirror(source: string, mount: string): Promise<Mirror> {
  const child = spawn(process.execPath, [server, source, mount], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await waitFor(() => lines.includes('mounted'), { timeoutMs: 60_000, what: 'the FUSE mount' });
  return {
    lines,
    async tell(command) {
      child.stdin.write(`${command}\n`);
      await waitFor(() => lines.includes(`ok ${command}`));
    },
    async close() {
      // Whoever still waits in a read of it is let go when the server ends.
      child.kill('SIGKILL');
      await exited;
      spawnSync('umount', ['-l', mount]);
    },
  };
}
