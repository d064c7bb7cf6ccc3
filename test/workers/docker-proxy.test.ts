import { describe, expect, it } from 'vitest';
import { publishedPortOf } from '../../lib/workers/docker-proxy.js';

const of = (line: string) => publishedPortOf(line.split(' '));
const usual = { hostAddress: '0.0.0.0', hostPort: 18080, containerAddress: '172.17.0.2', containerPort: 8000 };

describe('a published port', () => {
  it('is what a docker-proxy was started with', () => {
    const words = '-proto tcp -host-ip 0.0.0.0 -host-port 18080 -container-ip 172.17.0.2 -container-port 8000';
    expect(of(`/usr/bin/docker-proxy ${words}`)).toEqual(usual);
    expect(of(`docker-proxy ${words} -use-listen-fd`)).toEqual(usual);
    expect(of(`docker-proxy --host-port=18080 --container-ip=172.17.0.2 -container-port=8000`)).toEqual(usual);
  });

  it('is so among other words, which say nothing', () => {
    const words =
      '-proto tcp -use-listen-fd -host-port 18080 80 -x container-ip 1 -container-ip=172.17.0.2 -container-port 8000';
    expect(of(`./docker-proxy ${words}`)).toEqual(usual);
    expect(of(`docker-proxy -host-port/tcp 1 x-host-port=1 ${words} x-host-port=1 -host-port/tcp 1`)).toEqual(usual);
  });

  it.each([
    ['1', 1],
    ['65535', 65_535],
    ['65536', null],
    ['99999', null],
    ['100000', null],
    ['80x', null],
    ['x80', null],
    ['1e3', null],
    ['', null],
  ])('port %s is %s', (text, port) => {
    const host = of(`docker-proxy -host-port=${text} -container-ip 172.17.0.2 -container-port 8000`);
    const container = of(`docker-proxy -host-port 18080 -container-ip 172.17.0.2 -container-port=${text}`);
    expect([host, container]).toEqual(
      port === null
        ? [null, null]
        : [
            { ...usual, hostPort: port },
            { ...usual, containerPort: port },
          ],
    );
  });

  it('has addresses as the tables of the kernel write them', () => {
    expect(
      of('docker-proxy -proto tcp -host-ip :: -host-port 80 -container-ip fd00:0::0002 -container-port 8000'),
    ).toEqual({ hostAddress: '::', hostPort: 80, containerAddress: 'fd00::2', containerPort: 8000 });
  });

  it.each([
    ['another program', 'socat -host-port 80 -container-ip 172.17.0.2 -container-port 80'],
    ['a program of a like name', 'x-docker-proxy -host-port 80 -container-ip 172.17.0.2 -container-port 80'],
    ['a program beside it', 'docker-proxy-2 -host-port 80 -container-ip 172.17.0.2 -container-port 80'],
    ['no address of the host', 'docker-proxy -host-ip x -host-port 80 -container-ip 172.17.0.2 -container-port 80'],
    ['UDP', 'docker-proxy -proto udp -host-ip 0.0.0.0 -host-port 53 -container-ip 172.17.0.2 -container-port 53'],
    ['no port', 'docker-proxy -proto tcp -host-ip 0.0.0.0 -container-ip 172.17.0.2 -container-port 53'],
    ['port 0', 'docker-proxy -host-port 0 -container-ip 172.17.0.2 -container-port 53'],
    ['no address', 'docker-proxy -host-port 80 -container-ip localhost -container-port 53'],
    ['a link', 'docker-proxy -host-port 80 -container-ip fe80::1%eth0 -container-port 53'],
    ['nothing', 'docker-proxy'],
    ['a value that is missing', 'docker-proxy -host-port'],
    ['podman', 'rootlessport'],
  ])('is null for %s', (_what, line) => {
    expect(of(line)).toBeNull();
    expect(publishedPortOf([])).toBeNull();
  });
});
