import { describe, expect, test } from 'vitest';
import { cgroupSuite } from '../../e2e/fleet.js';
import { type DaemonOptions, useHarness } from '../../harness/harness.js';
import { createOtherHost } from '../../harness/network.js';
import { FaultyProxy, type ProxyFault } from '../../harness/proxy.js';
import { startFaultScenario, survive, waysOfSending } from './fault-scenario.js';

const suite = cgroupSuite('a queen that cannot be reached');

describe.skipIf(suite.skip).each(waysOfSending)(`${suite.title}, %s`, (_way, flags) => {
  const harness = useHarness();
  const start = (urls: readonly string[], options: DaemonOptions = {}) =>
    startFaultScenario(harness(), urls, { ...options, args: [...flags, ...(options.args ?? [])] });

  const behindProxy = async (fault: ProxyFault, code: RegExp): Promise<void> => {
    const queen = await harness().queen();
    const proxy = await FaultyProxy.before(queen.url);
    harness().defer(() => proxy.close());
    const scenario = await start([proxy.url]);
    await survive(harness(), scenario, {
      direct: queen,
      breakIt: () => proxy.become(fault),
      fix: () => proxy.become({ kind: 'none' }),
      code,
    });
    // One connection for each try, none left behind.
    expect(proxy.open).toBeLessThanOrEqual(4);
  };

  test('queen_unreachable: refused', async () => {
    const queen = await harness().queen();
    const { port } = new URL(queen.url);
    const scenario = await start([queen.url]);
    await survive(harness(), scenario, {
      direct: queen,
      breakIt: async () => {
        queen.process.signalGroup('SIGKILL');
        await queen.process.ended();
      },
      fix: () => harness().queen({ args: ['--port', port] }),
      code: /ECONNREFUSED|ECONNRESET|SOCKET/,
    });
  });

  test('queen_unreachable: black-holed, packets dropped without a word', async () => {
    const other = createOtherHost(harness());
    const queen = await harness().queen({
      under: other.under,
      args: ['--host', other.address, '--insecure', '--allowed-host', other.address],
    });
    const scenario = await start([queen.url]);
    await survive(harness(), scenario, {
      direct: queen,
      breakIt: () => other.blackHole(true),
      fix: () => other.blackHole(false),
      code: /^REQUEST_TIMEOUT$/,
    });
  });

  test('queen_unreachable: slow, an answer of one byte a second', () =>
    behindProxy({ kind: 'slow', bytesPerSecond: 1 }, /^REQUEST_TIMEOUT$/));

  test('queen_unreachable: connected, and never a word', () => behindProxy({ kind: 'silent' }, /^REQUEST_TIMEOUT$/));

  test('queen_unreachable: cut in the middle of each answer', () =>
    behindProxy({ kind: 'reset', afterBytes: 40 }, /ECONNRESET|UND_ERR|REQUEST_FAILED/));

  test('queen_unreachable: something else answers', () =>
    behindProxy(
      {
        kind: 'answer',
        bytes: 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<h1>Hello</h1>\n',
      },
      /^INVALID_RESPONSE$/,
    ));

  test('queen_unreachable: an answer without end', () =>
    behindProxy(
      { kind: 'answer', bytes: `HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n${'{"a":1,'.repeat(100_000)}` },
      /REQUEST_FAILED|REQUEST_TIMEOUT/,
    ));
});
