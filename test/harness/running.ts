import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Pids of processes whose executable matches and whose environment holds `mark`. */
export function running(executable: RegExp, mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => {
      try {
        if (!executable.test(readlinkSync(`/proc/${name}/exe`))) return false;
        return readFileSync(`/proc/${name}/environ`, 'utf8').includes(mark);
      } catch {
        return false;
      }
    })
    .map(Number);
}
