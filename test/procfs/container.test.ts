import { describe, expect, it } from 'vitest';
import type { HostSample } from '../../lib/contract/heartbeat.js';
import { containerOf, isContainer, withinContainer } from '../../lib/procfs/container.js';

const gib = 2 ** 30;
const machine: HostSample = {
  cpuCount: 64,
  cpuPercent: 4000,
  memoryTotalBytes: 512 * gib,
  memoryAvailableBytes: 300 * gib,
  load1: 40,
  uptimeSeconds: 1000,
  pressure: { cpu: 50, memory: 1, io: 2 },
};
const mount = '30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup ro';
const files = {
  'cpu.max': '250000 100000\n',
  'cpu.stat': 'usage_usec 1000000\nnr_periods 10\nnr_throttled 5\n',
  'memory.max': `${32 * gib}\n`,
  'memory.current': `${2 * gib}\n`,
  'memory.stat': 'inactive_file 0\n',
  'cpu.pressure': 'some avg10=3.50 avg60=0.00 avg300=0.00 total=1\n',
  'memory.pressure': 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
  'io.pressure': 'some avg10=0.25 avg60=0.00 avg300=0.00 total=0\n',
};
const container = containerOf(mount, '0::/\n');

function contents(changed: Readonly<Record<string, string | number>> = {}) {
  const all: Readonly<Record<string, string | number>> = { ...files, ...changed };
  return container.paths.map((path) => {
    const content = all[path.replace('/sys/fs/cgroup/', '')] ?? 2;
    return typeof content === 'number' ? content : Buffer.from(content);
  });
}

describe('inside a container', () => {
  it('the host is what the container may use, with the machine beside it', () => {
    const first = withinContainer(container, machine, contents(), null, 1000);
    const later = { 'cpu.stat': 'usage_usec 3000000\nnr_periods 20\nnr_throttled 9\n' };
    const { host, faults } = withinContainer(container, machine, contents(later), first.counters, 2000);
    expect(faults).toEqual([]);
    expect(first.host.cpuPercent).toBeNull();
    expect(host).toEqual({
      ...machine,
      cpuCount: 3,
      cpuPercent: 200,
      memoryTotalBytes: 32 * gib,
      memoryAvailableBytes: 30 * gib,
      pressure: { cpu: 3.5, memory: 0, io: 0.25 },
      container: {
        cpus: 2.5,
        memoryBytes: 32 * gib,
        throttledPercent: 40,
        machineCpuCount: 64,
        machineMemoryTotalBytes: 512 * gib,
        machineMemoryAvailableBytes: 300 * gib,
      },
    });
  });

  it("what has no limit is the machine's", () => {
    const none = { 'cpu.max': 'max 100000\n', 'memory.max': 'max\n' };
    const { host, faults } = withinContainer(container, machine, contents(none), null, 1000);
    expect(faults).toEqual([]);
    expect(host).toMatchObject({ ...machine, container: { cpus: 64, memoryBytes: 512 * gib, throttledPercent: null } });
  });

  it('no more is available than the machine around it has', () => {
    const { host } = withinContainer(container, { ...machine, memoryAvailableBytes: gib }, contents(), null, 1000);
    expect(host.memoryAvailableBytes).toBe(gib);
  });

  it("a limit that cannot be read is not known, and not the machine's", () => {
    const { host, faults } = withinContainer(container, machine, contents({ 'memory.max': 13 }), null, 1000);
    expect(host).toMatchObject({
      memoryTotalBytes: null,
      memoryAvailableBytes: null,
      container: { memoryBytes: null },
    });
    expect(faults.map(({ code }) => code)).toEqual(['CONTAINER_LIMITS_UNKNOWN']);
  });

  it('a counter that went back gives no rate', () => {
    const first = withinContainer(container, machine, contents(), null, 1000);
    const less = { 'cpu.stat': 'usage_usec 5\nnr_periods 1\nnr_throttled 0\n' };
    const { host } = withinContainer(container, machine, contents(less), first.counters, 2000);
    expect([host.cpuPercent, host.container?.throttledPercent]).toEqual([null, null]);
  });

  it("the machine's pressure is not the container's where its own cannot be had", () => {
    const { host, faults } = withinContainer(container, machine, contents({ 'cpu.pressure': 95 }), null, 1000);
    expect(host.pressure).toEqual({ cpu: null, memory: 0, io: 0.25 });
    expect(faults.map(({ code }) => code)).toEqual(['PRESSURE_UNAVAILABLE']);
  });

  it('beside the containers of a pod whose processes it sees, limits are not known', () => {
    const sidecar = containerOf(mount, '0::/../pause\n');
    const { host, faults } = withinContainer(sidecar, machine, [], null, 1000);
    expect(host).toMatchObject({ ...machine, container: { cpus: null, memoryBytes: null, machineCpuCount: 64 } });
    expect(faults.map(({ code }) => code)).toEqual(['CONTAINER_LIMITS_UNKNOWN']);
  });
});

describe('a /proc shows', () => {
  const kthreadd = '2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0';
  const ordinary = '2 (kthreadd) S 1 2 2 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0';
  it.each([
    ['the machine in its first namespace', 'pid:[4026531836]', kthreadd, '6.1.0', false],
    ['a container', 'pid:[4026532451]', null, '6.1.0', true],
    ['a container whose second process calls itself a kernel thread', 'pid:[4026532451]', ordinary, '6.1.0', true],
    ['the machine, mounted into a container', 'pid:[4026532451]', kthreadd, '6.1.0', false],
    ['WSL 2', 'pid:[4026532451]', null, '5.15.153.1-microsoft-standard-WSL2', false],
    ['nothing that is known', null, null, null, false],
  ])('%s', (_what, namespace, secondProcess, release, expected) => {
    expect(isContainer({ namespace, secondProcess, release })).toBe(expected);
  });
});
