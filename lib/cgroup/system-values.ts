import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';

export interface SystemValues {
  /** sysconf(_SC_CLK_TCK): the unit of start times in /proc/<pid>/stat. */
  readonly clockTicksPerSecond: number;
  /** sysconf(_SC_PAGESIZE): the unit of /proc/<pid>/statm, in bytes. */
  readonly pageSize: number;
}

const AT_PAGESZ = 6;
const AT_CLKTCK = 17;

/** Picks page size and clock tick out of an auxiliary vector (pairs of 64-bit words; getauxval(3)). */
export function parseAuxv(bytes: Buffer): Partial<SystemValues> {
  const word = (at: number) => Number(endianness() === 'LE' ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  const found = new Map<number, number>();
  for (let at = 0; at + 16 <= bytes.length; at += 16) found.set(word(at), word(at + 8));
  const pageSize = found.get(AT_PAGESZ);
  const clockTicksPerSecond = found.get(AT_CLKTCK);
  return { ...(pageSize && { pageSize }), ...(clockTicksPerSecond && { clockTicksPerSecond }) };
}

let values: SystemValues | undefined;

/** The values of sysconf(3), from the auxiliary vector that the kernel gives each process. */
export function systemValues(): SystemValues {
  if (!values) {
    let found: Partial<SystemValues> = {};
    try {
      found = parseAuxv(readFileSync('/proc/self/auxv'));
    } catch {
      // No /proc (another system): the values of nearly all 64-bit Linux kernels.
    }
    values = { clockTicksPerSecond: 100, pageSize: 4096, ...found };
  }
  return values;
}
