import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { cgroupSuite } from '../../e2e/fleet.js';
import { type Daemon, type DaemonOptions, useHarness } from '../../harness/harness.js';
import { createResolver } from '../../harness/network.js';
import { FaultyProxy } from '../../harness/proxy.js';
import { startFaultScenario, survive, waysOfSending } from './fault-scenario.js';

const suite = cgroupSuite('a queen whose name or certificate fails');

/** A certificate for 127.0.0.1 that signs itself, and so is its own authority. */
function certificate(directory: string, name: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  const made = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-out', cert, '-keyout', key],
    ],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(made.stderr);
  return { cert, key };
}

describe.skipIf(suite.skip).each(waysOfSending)(`${suite.title}, %s`, (_way, flags) => {
  const harness = useHarness();
  const start = (urls: readonly string[], options: DaemonOptions = {}) =>
    startFaultScenario(harness(), urls, { ...options, args: [...flags, ...(options.args ?? [])] });

  test('queen_unreachable: TLS broken, a certificate of another authority', async () => {
    const directory = harness().directory();
    const [right, wrong] = [certificate(directory, 'right'), certificate(directory, 'wrong')];
    const proper = (port = '0') =>
      harness().queen({ args: ['--port', port, '--tls-cert', right.cert, '--tls-key', right.key] });
    // The test itself asks whoever is there; the hive must not.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    harness().defer(() => {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    });
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: undefined };
    const queen = await proper();
    const { port } = new URL(queen.url);
    const scenario = await start([queen.url], { args: ['--tls-ca', right.cert], env });
    let impostor: Daemon | null = null;
    await survive(harness(), scenario, {
      direct: queen,
      breakIt: async () => {
        await queen.process.stop();
        impostor = await harness().queen({ args: ['--port', port, '--tls-cert', wrong.cert, '--tls-key', wrong.key] });
      },
      fix: async () => {
        await impostor!.process.stop();
        return proper(port);
      },
      // Never that it was refused, as it is for a moment between the two.
      code: /SELF_SIGNED|CERT/,
    });
  });

  test.each([
    ['failing', false],
    ['hanging', true],
  ])('queen_unreachable: DNS %s', async (_, hangs) => {
    const nameserver = hangs ? '127.0.0.77' : '127.0.0.78';
    if (hangs) {
      // It takes every question and answers none.
      const server = createSocket('udp4');
      await new Promise<void>((resolve) => server.bind(53, nameserver, resolve));
      harness().defer(() => new Promise<void>((resolve) => server.close(() => resolve())));
    }
    const resolver = createResolver(harness(), nameserver);
    const queen = await harness().queen({ args: ['--allowed-host', 'queen.example'] });
    const proxy = await FaultyProxy.before(queen.url);
    harness().defer(() => proxy.close());
    const { port } = new URL(proxy.url);
    resolver.know('127.0.0.1 queen.example\n');
    const scenario = await start([`http://queen.example:${port}`], { under: resolver.under });
    await survive(harness(), scenario, {
      direct: queen,
      // The connection that stands is cut, so that the name is asked for again.
      breakIt: () => {
        resolver.know('');
        proxy.become({ kind: 'none' });
      },
      fix: () => resolver.know('127.0.0.1 queen.example\n'),
      code: hangs ? /REQUEST_TIMEOUT|EAI_AGAIN/ : /ENOTFOUND|EAI_AGAIN/,
    });
  });
});
