import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseUnixListening } from '../../lib/procfs/unix-sockets.js';

const head = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
const parse = (text: string) => [...parseUnixListening(Buffer.from(text, 'latin1'))];

describe('/proc/<pid>/net/unix', () => {
  // As a kernel 6.1 wrote it, addresses hidden and shown.
  it.each([
    ['0000000000000000: 00000002 00000000 00010000 0001 01 28187 /run/vllm.sock', [[28187, '/run/vllm.sock']]],
    ['ffff8d0041a2b400: 00000002 00000000 00010000 0001 01 9 /tmp/with a space.sock', [[9, '/tmp/with a space.sock']]],
    ['0000000000000000: 00000003 00000000 00000000 0001 03 28188 /run/vllm.sock', []],
    ['0000000000000000: 00000002 00000000 00010000 0001 01 28189 @/tmp/.X11-unix/X0', []],
    ['0000000000000000: 00000002 00000000 00000000 0002 01 28190 /run/systemd/notify', []],
    ['0000000000000000: 00000002 00000000 00010000 0005 01 28191 /run/udev/control', []],
    ['0000000000000000: 00000002 00000000 00000000 0001 01 28192', []],
    ['0000000000000000: 00000002 00000000 00010000 0001 01 28193 /run/\xff', [[28193, '/run/\xff']]],
  ])('%j', (line, expected) => expect(parse(`${head}${line}\n`)).toEqual(expected));

  it('one bad line costs only itself', () => {
    const good = '0000000000000000: 00000002 00000000 00010000 0001 01 7 /run/a.sock';
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const bad = text.replaceAll('\n', ' ');
        fc.pre(parse(`${bad}\n`).length === 0);
        expect(parse(`${head}${bad}\n${good}\n${bad}`)).toEqual([[7, '/run/a.sock']]);
      }),
    );
  });

  it('any bytes give paths from the root', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const [inode, path] of parseUnixListening(Buffer.from(bytes))) {
          expect(inode).toBeGreaterThanOrEqual(0);
          expect(path.startsWith('/')).toBe(true);
        }
      }),
    );
  });
});
