import { expect, it } from 'vitest';
import { hiveOptions, queenOptions } from '../../lib/config/options.js';
import { resolveSettings } from '../../lib/config/resolve.js';

const settingsOf = (user: 'hive' | 'queen', flags: object) =>
  resolveSettings({ user, flags, environment: {}, file: null }).settings;

it.each([
  ['tlsCert', { tlsCert: 'a' }, 'tlsKey'],
  ['tlsKey', { tlsKey: 'a' }, 'tlsCert'],
  ['natsTlsCert', { nats: 'nats://a:1', natsTlsCert: 'a' }, 'natsTlsKey'],
  ['natsTlsKey', { nats: 'nats://a:1', natsTlsKey: 'a' }, 'natsTlsCert'],
])('%s alone is refused: it needs the other PEM file', (subject, flags, missing) => {
  const refusal = expect.objectContaining({
    code: 'INVALID_OPTION',
    subject,
    message: expect.stringContaining(`without ${missing}`),
  });
  expect(() => queenOptions(settingsOf('queen', flags))).toThrow(refusal);
  expect(() => hiveOptions(settingsOf('hive', flags), null)).toThrow(refusal);
});

it('a certificate of clients needs TLS, and what is of NATS needs servers', () => {
  expect(() => queenOptions(settingsOf('queen', { tlsClientCa: 'a' }))).toThrow('needs tlsCert and tlsKey');
  for (const flags of [{ natsCredentials: 'a' }, { natsTlsCa: 'a' }])
    expect(() => queenOptions(settingsOf('queen', flags))).toThrow('without nats');
});
