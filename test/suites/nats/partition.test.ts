import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import {
  agree,
  fleetOf,
  heartbeats,
  hush,
  natsServer,
  queenOn,
  sharing,
  spreadFleet,
  whole,
} from './cluster-of-queens.js';

const harness = useHarness();
const space = `hp${process.pid}`;

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** May we make network namespaces, and are the tools there? */
const able = process.getuid?.() === 0 && spawnSync('ip', ['-V']).status === 0 && spawnSync('nft', ['-v']).status === 0;

test.skipIf(!able)(
  'partition a queen from NATS (needs root, ip and nft): it says degraded, its hives are heard by the others, and it heals',
  async () => {
    // The queen lives in a namespace with an end of its own; only what it says to NATS is dropped.
    const subnet = `10.${200 + (process.pid % 50)}.${process.pid % 250}`;
    ip('netns', 'add', space);
    harness().defer(() => ip('netns', 'del', space));
    ip('link', 'add', `${space}a`, 'type', 'veth', 'peer', 'name', `${space}b`, 'netns', space);
    ip('addr', 'add', `${subnet}.1/24`, 'dev', `${space}a`);
    ip('link', 'set', `${space}a`, 'up');
    ip('-n', space, 'addr', 'add', `${subnet}.2/24`, 'dev', `${space}b`);
    ip('-n', space, 'link', 'set', `${space}b`, 'up');
    ip('-n', space, 'link', 'set', 'lo', 'up');

    const server = await natsServer(harness(), { host: `${subnet}.1` });
    const natsPort = new URL(server.url).port;
    const near = [await queenOn(harness(), server), await queenOn(harness(), server)].map(({ url }) => url);
    const main = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
    const far = harness().start('queen in a namespace', 'ip', [
      ...['netns', 'exec', space, process.execPath, main, 'queen', '--port', '0', '--warming', '0'],
      ...['--host', `${subnet}.2`, '--insecure', '--nats', server.url],
    ]);
    const match = await far.line(/"url":"([^"]+)".*"msg":"listening"/);
    const url = match[1] as string;
    await sharing(url);
    const urls = [url, ...near];
    const fleet = spreadFleet(harness(), urls, { hives: 30 });
    fleet.start();
    await Promise.all(urls.map((each) => whole(each, 30)));

    const rules = [
      'add table inet cut',
      'add chain inet cut out { type filter hook output priority 0; }',
      'add chain inet cut in { type filter hook input priority 0; }',
      `add rule inet cut out tcp dport ${natsPort} drop`,
      `add rule inet cut in tcp sport ${natsPort} drop`,
    ].join('\n');
    const nft = spawnSync('ip', ['netns', 'exec', space, 'nft', '-f', '-'], { input: rules, encoding: 'utf8' });
    expect(nft.stderr).toBe('');
    await sharing(url, 'degraded');
    for (const each of near) expect((await fleetOf(each)).bus).toBe('nats');
    // A hive of the queen that was cut off is told so, and tells another one.
    const hive = fleet.hives[0];
    hive?.killWorker();
    await heartbeats(fleet, 2);
    await waitFor(() => hive?.pendingEvents === 0, { what: 'its event to be safe at another queen' });
    for (const each of near) expect((await fleetOf(each)).hives.online).toBe(30);
    expect((await fleetOf(url)).bus).toBe('degraded');

    spawnSync('ip', ['netns', 'exec', space, 'nft', 'delete', 'table', 'inet', 'cut']);
    await sharing(url);
    await whole(url, 30);
    await heartbeats(fleet);
    await hush(fleet);
    await agree(urls, 30);
  },
);
