/** Parser of /proc/<pid>/net/unix. Pure: bytes in, values out. */

/** Flags with SO_ACCEPTCON (net/unix/af_unix.c: __SO_ACCEPTCON), a stream; the inode, and a path of a file system. */
const listening = /^[0-9A-Fa-f]+: [0-9A-F]{8} [0-9A-F]{8} [0-9A-F]{3}1[0-9A-F]{4} 0001 [0-9A-F]{2} +([0-9]+) (\/.*)$/;

/**
 * Paths of the Unix sockets that take connections, by inode, a character for each byte. Abstract names are left out: no engine
 * serves at one, and drivers and libraries have many.
 */
export function parseUnixListening(bytes: Buffer): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const line of bytes.toString('latin1').split('\n')) {
    const [, inode, path] = listening.exec(line) ?? [];
    if (inode !== undefined && path !== undefined) found.set(Number(inode), path);
  }
  return found;
}
