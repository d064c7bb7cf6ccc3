import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as transport from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import type { HiveView } from '../../../lib/contract/api.js';
import { connectionOptions } from '../../../lib/nats/nats-link.js';
import { heartbeatSubject, hiveInbox } from '../../../lib/nats/subjects.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { natsServer, place, sharing, whole } from './cluster-of-queens.js';
import { Authority, type Permissions, userKey } from './credentials.js';

const harness = useHarness();
const scaling = readFileSync(new URL('../../../docs/scaling.md', import.meta.url), 'utf8');

/** The rights that docs/scaling.md names, so that what stands there is what is tried. */
function documented(who: RegExp): Permissions {
  const row = scaling.split('\n').find((line) => who.test(line)) ?? '';
  const [, , publish = '', subscribe = ''] = row.split('|');
  const subjects = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, subject = '']) => subject);
  return { publish: subjects(publish), subscribe: subjects(subscribe) };
}

/** A throw-away authority, and a certificate for 127.0.0.1. */
function certificates(at: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: at, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test-ca', '-days', '2');
  openssl('req', ...key, '-keyout', 'nats.key', '-out', 'nats.csr', '-subj', '/CN=nats');
  writeFileSync(join(at, 'nats.ext'), 'subjectAltName=IP:127.0.0.1\n');
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'nats.ext'];
  openssl('x509', '-req', '-in', 'nats.csr', ...sign, '-out', 'nats.pem');
  return (name: string) => join(at, name);
}

test('TLS and credentials: queens and hives share with the rights documented, and a hive sends for itself alone', async () => {
  const directory = harness().directory();
  const path = certificates(directory);
  const authority = new Authority();
  const file = (name: string, permissions: Permissions): string => {
    const at = join(directory, `${name}.creds`);
    writeFileSync(at, authority.credentials(name, permissions), { mode: 0o600 });
    return at;
  };
  const queenRights = documented(/^\| a queen +\|/);
  const hiveRights = documented(/^\| hive `a\.b` +\|/);
  expect(queenRights.publish.length).toBeGreaterThan(2);
  expect(hiveRights.publish).toContain(heartbeatSubject('a.b'));
  const [queenFile, hiveFile] = [file('queen', queenRights), file('hive', hiveRights)];

  const tls = `tls { cert_file: "${path('nats.pem')}", key_file: "${path('nats.key')}", timeout: 5 }`;
  const server = await natsServer(harness(), { config: [...authority.config, tls] });
  const url = server.url.replace('nats:', 'tls:');
  const options = ['--nats', url, '--nats-tls-ca', path('ca.pem')];
  const queens = await Promise.all(
    [1, 2].map(() => harness().queen({ args: [...options, '--nats-credentials', queenFile, '--warming', '0'] })),
  );
  const urls = queens.map((queen) => queen.url);
  await Promise.all(urls.map((each) => sharing(each)));

  await harness().hive([], {
    args: [...options, '--nats-credentials', hiveFile, '--id', 'a.b', '--gpu', 'none', '--no-auto'],
  });
  await Promise.all(urls.map((each) => whole(each, 1)));

  // A grant goes through the bucket, so a queen's rights are enough for that as well.
  const gpus = new SimulatedHive({ id: 'gpus', seed: 1, gpus: 2, workers: 1, queenUrls: [urls[0] as string] });
  harness().defer(() => gpus.close());
  gpus.start();
  await Promise.all(urls.map((each) => whole(each, 2)));
  gpus.killWorker();
  await waitFor(async () => gpus.pendingEvents === 0 && gpus.counts.accepted > 2, { what: 'an event to be safe' });
  const { reservation } = await place(urls[0] as string, { vramBytes: 2 ** 30, reserveSeconds: 60 });
  expect(reservation).not.toBeNull();
  await waitFor(async () => (await getJson<{ items: unknown[] }>(`${urls[1]}/v1/reservations`)).items.length === 1, {
    what: 'the reservation at the other queen',
  });

  // With a hive's credentials: not as another hive, and not with another's heartbeat under its own name.
  const asHive = { servers: [url], credentialsFile: hiveFile, tls: { ca: path('ca.pem') } };
  const connection = await connect(connectionOptions(asHive, { transport }, 'test'));
  harness().defer(() => connection.close());
  const refused: string[] = [];
  void (async () => {
    for await (const status of connection.status()) if (status.type === 'error') refused.push(status.error.message);
  })();
  const forged = new SimulatedHive({ id: 'victim', seed: 2 });
  harness().defer(() => forged.close());
  connection.publish(heartbeatSubject('victim'), JSON.stringify(forged.nextHeartbeat()));
  connection.publish(heartbeatSubject('a.b'), JSON.stringify(forged.nextHeartbeat()));
  connection.subscribe('hivepulse.v1.>', { callback: () => undefined });
  await connection.flush();
  await waitFor(() => refused.length >= 2, { what: 'two refusals of the server' });
  expect(refused.join('\n')).toContain(heartbeatSubject('victim'));
  const malformed = /^hivepulse_queen_bus_heartbeats_total\{result="malformed"\} ([1-9]\d*)$/m;
  for (const each of urls) {
    await waitFor(async () => malformed.test(await (await fetch(`${each}/metrics`)).text()), {
      what: 'the forged heartbeat to be counted',
    });
    const hives = (await getJson<{ items: HiveView[] }>(`${each}/v1/hives`)).items.map(({ id }) => id);
    expect(hives.toSorted()).toEqual(['a.b', 'gpus']);
  }

  // Without the authority's certificate, or without credentials, nobody comes in, and that is said.
  const stranger = await harness().queen({ args: ['--nats', url, '--nats-tls-ca', path('ca.pem'), '--warming', '0'] });
  await stranger.process.line(/cannot be reached \(.*[Aa]uthorization/);
  const distrustful = await harness().queen({
    args: ['--nats', url, '--nats-credentials', queenFile, '--warming', '0'],
  });
  await distrustful.process.line(/cannot be reached \(.*certificate/);
});

test('the shipped users.conf: queens share by their key, and a hive publishes as itself alone', async () => {
  const [queenKey, hiveKey] = [userKey(), userKey()];
  const shipped = readFileSync(new URL('../../../deploy/nats/users.conf', import.meta.url), 'utf8');
  const users = shipped
    .replace(/^ {4}# ([{}]| {2}.*)$/gm, '    $1')
    .replace('$HIVEPULSE_QUEEN_NKEY', queenKey.publicKey)
    .replace('UA...', hiveKey.publicKey)
    .replaceAll('HIVE', 'a%2Eb');
  const { publish, subscribe } = documented(/^\| a queen +\|/);
  for (const subject of [...publish, ...subscribe]) expect(users).toContain(`"${subject}"`);
  const ofHive = documented(/^\| hive `a\.b` +\|/);
  for (const subject of [...ofHive.publish, ...ofHive.subscribe]) expect(users).toContain(`"${subject}"`);

  const seedFile = (name: string, { seed }: { readonly seed: string }): string => {
    const at = join(harness().directory(), name);
    writeFileSync(at, `${seed}\n`, { mode: 0o600 });
    return at;
  };
  const server = await natsServer(harness(), { config: users.split('\n') });
  const args = ['--nats', server.url, '--nats-credentials', seedFile('queen.seed', queenKey), '--warming', '0'];
  const queen = await harness().queen({ args });
  await sharing(queen.url);

  const asHive = { servers: [server.url], credentialsFile: seedFile('hive.seed', hiveKey) };
  const connection = await connect(connectionOptions(asHive, { transport }, 'test', hiveInbox('a.b')));
  harness().defer(() => connection.close());
  const refused: string[] = [];
  void (async () => {
    for await (const status of connection.status()) if (status.type === 'error') refused.push(status.error.message);
  })();
  connection.publish(heartbeatSubject('a.b'), JSON.stringify(new SimulatedHive({ id: 'a.b' }).nextHeartbeat()));
  connection.publish(heartbeatSubject('victim'), '{}');
  for (const subject of ['_INBOX.queen.>', '$KV.>']) connection.subscribe(subject, { callback: () => undefined });
  await connection.flush();
  await waitFor(() => refused.length >= 3, { what: 'three refusals of the server' });
  await whole(queen.url, 1);
});
