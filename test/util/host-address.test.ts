import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isHostAddress } from '../../lib/util/host-address.js';

describe('a host’s address', () => {
  it.each(['10.0.0.7', '127.0.0.1', 'fd00::7', '::1', 'localhost', 'gpu-7', 'gpu-7.example.', '7.gpu.example', 'a'])(
    '%s',
    (text) => expect(isHostAddress(text)).toBe(true),
  );

  it.each([
    ['a scheme', 'http://10.0.0.7'],
    ['a port', '10.0.0.7:8000'],
    ['a port behind a name', 'gpu-7:8000'],
    ['brackets', '[fd00::7]'],
    ['brackets and a port', '[fd00::7]:80'],
    ['a zone', 'fe80::1%eth0'],
    ['a blank in front', ' 10.0.0.7'],
    ['a blank behind', '10.0.0.7 '],
    ['two', '10.0.0.7,10.0.0.8'],
    ['a path', '10.0.0.7/x'],
    ['a network', '10.0.0.0/24'],
    ['all of IPv4', '0.0.0.0'],
    ['all of IPv6', '::'],
    ['all of IPv6, longhand', '0:0:0:0:0:0:0:0'],
    ['a number too large', '10.0.0.256'],
    ['a number too few', '10.0.7'],
    ['an underscore', 'gpu_7'],
    ['a user', 'root@gpu-7'],
    ['an empty label', 'gpu..example'],
    ['nothing', ''],
    ['a line', 'gpu\n7'],
  ])('%s is none', (_what, text) => expect(isHostAddress(text)).toBe(false));

  it('whatever is accepted makes a URL with exactly this host and no other part', () => {
    const texts = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.domain(),
      fc.string({ unit: fc.constantFrom(...'a0-.:[]%/@?# \n7f'), maxLength: 12 }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        if (!isHostAddress(text)) return;
        const url = new URL(`http://${isIP(text) === 6 ? `[${text}]` : text}:8000/`);
        expect(url.port).toBe('8000');
        expect([url.username, url.pathname, url.search, url.hash].join('')).toBe('/');
        if (isIP(text) !== 6) expect(url.hostname).toBe(text.toLowerCase());
      }),
      { numRuns: 2000 },
    );
  });

  it('every IPv6 address but that of all, every IPv4 address, every domain', () => {
    const all = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()).filter((text) => !/^[0:.]+$/.test(text));
    fc.assert(fc.property(all, (text) => isHostAddress(text)));
  });
});
