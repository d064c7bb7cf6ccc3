import { getSystemErrorMap } from 'node:util';

const messages = getSystemErrorMap();

/** The kernel's number as people know it: `EACCES, permission denied`. */
export function errnoText(errno: number): string {
  const known = messages.get(-errno);
  return known === undefined ? `errno ${errno}` : `${known[0]}, ${known[1]}`;
}
