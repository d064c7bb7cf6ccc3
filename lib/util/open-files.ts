import { readFileSync } from 'node:fs';

/** Descriptors that this process may have open (RLIMIT_NOFILE); null where the system does not say. */
export function openFilesLimit(
  limits: () => string = () => readFileSync('/proc/self/limits', 'latin1'),
): number | null {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(limits());
    if (line === null) return null;
    return line[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line[1]);
  } catch {
    return null;
  }
}
