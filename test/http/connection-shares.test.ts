import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionShares, connectionLimit } from '../../lib/http/connection-shares.js';
import { openFilesLimit } from '../../lib/util/open-files.js';

class FakeSocket extends EventEmitter {
  destroyed = false;
  readonly remoteAddress: string;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}
const socketFrom = (address: string) => new FakeSocket(address) as unknown as Socket;

describe('shares of connections', () => {
  it('one address leaves room for the next, whatever the others hold', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { maxLength: 200 }), (addresses) => {
        const shares = new ConnectionShares(100);
        for (const address of addresses) shares.accept(socketFrom(`10.0.0.${address}`), false);
        expect(shares.open).toBeLessThanOrEqual(100);
        if (shares.open < 100) expect(shares.accept(socketFrom('10.1.0.1'), false)).toBe(true);
        expect(addresses.length === 0 || shares.open > 0).toBe(true);
      }),
    );
  });

  it('an address has four fifths of all', () => {
    const shares = new ConnectionShares(100);
    const accepted = Array.from({ length: 200 }, () => shares.accept(socketFrom('a'), false)).filter(Boolean);
    expect(accepted).toHaveLength(80);
    expect(shares.accept(socketFrom('b'), false)).toBe(true);
  });

  it('without a token the oldest goes for a new one, and who has shown a right one stays', () => {
    const shares = new ConnectionShares(80);
    const known = socketFrom('a');
    shares.accept(known, true);
    shares.prove(known);
    const unknown = Array.from({ length: 30 }, () => socketFrom('a'));
    expect(unknown.map((socket) => shares.accept(socket, true))).not.toContain(false);
    expect(unknown.filter(({ destroyed }) => !destroyed)).toHaveLength(10);
    expect(unknown.at(-1)?.destroyed).toBe(false);
    expect(known.destroyed).toBe(false);
    expect(shares.open).toBe(11);
  });

  it('without a token a flood of one address ends its own, never the only one of another, however late that shows its token', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 500 }), (before, after) => {
        const shares = new ConnectionShares(80);
        for (let i = 0; i < before; i++) shares.accept(socketFrom('flood'), true);
        const slow = socketFrom('far away');
        expect(shares.accept(slow, true)).toBe(true);
        for (let i = 0; i < after; i++) shares.accept(socketFrom('flood'), true);
        expect(slow.destroyed).toBe(false);
        expect(shares.open).toBeLessThanOrEqual(11);
      }),
    );
  });

  it('are of as many as there may be descriptors', () => {
    expect(connectionLimit(1024)).toBe(768);
    expect(connectionLimit(1_000_000)).toBe(20_000);
    expect(connectionLimit(null)).toBe(19_744);
    expect(openFilesLimit(() => 'Max open files            1024                 4096                 files')).toBe(
      1024,
    );
    expect(connectionLimit(openFilesLimit(() => 'Max open files   unlimited  unlimited files'))).toBe(20_000);
    expect(openFilesLimit(() => '')).toBeNull();
  });
});
