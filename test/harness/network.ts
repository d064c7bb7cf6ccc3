import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Harness } from './harness.js';

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

let count = 0;

/** Another host: a network namespace behind a veth pair, whose packets can be dropped without a word. */
export interface OtherHost {
  readonly address: string;
  /** Addresses of this host on its side of the pair. */
  readonly here: string;
  readonly here6: string;
  /** Path of its namespace. */
  readonly namespace: string;
  /** For `under` of a daemon. */
  readonly under: readonly string[];
  /** What comes to it is dropped: no answer, no refusal. */
  blackHole(on: boolean): void;
}

/** A network namespace in which only loopback is; gives its path. */
export function createNamespace(harness: Harness): string {
  const name = nextNamespace(harness);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return `/run/netns/${name}`;
}

function nextNamespace(harness: Harness): string {
  count += 1;
  const name = `hivepulse-${process.pid}-${count}`;
  ip('netns', 'add', name);
  harness.defer(() => ip('netns', 'del', name));
  return name;
}

/** `more`: further addresses that it has, with their prefix. */
export function createOtherHost(harness: Harness, more: readonly string[] = []): OtherHost {
  const name = nextNamespace(harness);
  const link = `hp${process.pid % 100_000}x${count}`;
  const subnet = `10.${200 + (process.pid % 50)}.${(Math.floor(process.pid / 50) + (count >> 6)) % 250}`;
  const [here, there] = [`${subnet}.${4 * (count % 64) + 1}`, `${subnet}.${4 * (count % 64) + 2}`];
  const here6 = `fd00:${(process.pid % 65_536).toString(16)}::${count.toString(16)}`;
  ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('addr', 'add', `${here}/30`, 'dev', link);
  ip('-6', 'addr', 'add', `${here6}/128`, 'dev', link, 'nodad');
  ip('link', 'set', link, 'up');
  for (const args of [
    ['addr', 'add', `${there}/30`, 'dev', 'eth0'],
    ['link', 'set', 'eth0', 'up'],
    ['link', 'set', 'lo', 'up'],
    ...more.map((address) => ['addr', 'add', address, 'dev', 'eth0']),
  ])
    ip('-n', name, ...args);
  const nft = (rules: string): void => {
    const { status, stderr } = spawnSync('ip', ['netns', 'exec', name, 'nft', '-f', '-'], {
      input: rules,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`nft: ${stderr}`);
  };
  return {
    address: there,
    here,
    here6,
    namespace: `/run/netns/${name}`,
    under: ['ip', 'netns', 'exec', name],
    blackHole: (on) =>
      nft(
        on
          ? 'table inet faults { chain in { type filter hook input priority 0; policy accept; iif eth0 drop; }\n' +
              'chain out { type filter hook output priority 0; policy accept; oif eth0 drop; }\n}\n'
          : 'delete table inet faults\n',
      ),
  };
}

/** A resolver's files of its own, for one daemon: names are those in `hosts`, anything else is asked of `nameserver`. */
export function createResolver(harness: Harness, nameserver: string) {
  const directory = harness.directory();
  const [hosts, resolv] = [join(directory, 'hosts'), join(directory, 'resolv.conf')];
  const know = (lines: string): void => writeFileSync(hosts, `127.0.0.1 localhost\n${lines}`);
  know('');
  writeFileSync(resolv, `nameserver ${nameserver}\noptions timeout:2 attempts:2\n`);
  const script = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf || exit 1; shift; exec "$@"';
  return { know, under: ['unshare', '-m', 'sh', '-c', script, hosts, resolv] as const };
}
