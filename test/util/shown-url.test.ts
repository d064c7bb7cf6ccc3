import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';
import { resolveSettings } from '../../lib/config/resolve.js';
import { checkDescription } from '../../lib/launch/spawn-options.js';
import { connectionOptions } from '../../lib/nats/nats-link.js';
import { shownUrl } from '../../lib/util/shown-url.js';

const withMore = ['u@h:1', 'u:p@h:1', 'h:1/?k=s', 'h:1/#f'];

describe('addresses', () => {
  it.each(withMore)('of queens and NATS servers, and what readiness is asked of, may not be %s', (rest) => {
    const set = (flags: object) => resolveSettings({ user: 'queen', flags, environment: {}, file: null } as never);
    expect(() => set({ nats: `nats://${rest}` })).toThrow();
    expect(() => set({ nats: 'nats://h:1' })).not.toThrow();
    const hive = (queens: string) => () =>
      resolveSettings({ user: 'hive', flags: { queens }, environment: {}, file: null } as never);
    expect(hive(`http://${rest}`)).toThrow();
    expect(hive('http://h:1')).not.toThrow();
    expect(() => new HivepulseClient(`http://${rest}`)).toThrow(/must not hold/);
    const nats = () => connectionOptions({ servers: [`nats://${rest}`] }, { transport: {} as never }, 'x');
    expect(nats).toThrow(/must not hold/);
    const readyUrl = `http://${rest.replace('h:1', '127.0.0.1:1')}`;
    expect(() => checkDescription({ group: 'a', instance: 'b', command: 'c', readyUrl })).toThrow(/must not hold/);
  });

  it('are shown without what stands before the host and after the path', () => {
    expect(shownUrl('http://u:p@h:1/a?k=s#f')).toBe('http://…@h:1/a');
    const secret = fc.stringMatching(/^S[a-z@:/?#!$%]{0,12}S$/);
    fc.assert(
      fc.property(secret, secret, (password, query) => {
        fc.pre(!query.includes('@'));
        expect(shownUrl(`http://u:${password}@host/?k=${query}`)).toBe('http://…@host/');
      }),
    );
  });
});
