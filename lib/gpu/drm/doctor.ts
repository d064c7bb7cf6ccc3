import type { GpuCheckHost, GpuFinding } from '../vendor.js';
import { cardIdentity } from './card.js';
import type { DrmDriver } from './driver.js';

const ok = (check: string, message: string): GpuFinding => ({ check, status: 'ok', message, fix: '' });
const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;

/** PCI vendor ids, as sysfs has them. */
const pciVendors: Readonly<Record<string, string>> = { AMD: '0x1002', Intel: '0x8086' };

/** Displays and accelerators of the vendor on the bus: class 0x03 and, of Instinct cards, 0x12. */
function onBus(vendor: string, host: GpuCheckHost): readonly string[] {
  return host.list('/sys/bus/pci/devices').filter((slot) => {
    const file = (name: string) => host.text(`/sys/bus/pci/devices/${slot}/${name}`)?.trim() ?? '';
    return file('vendor') === pciVendors[vendor] && /^0x(?:03|1200)/.test(file('class'));
  });
}

/** Cards, their kernel driver, and whether processes of others can be seen. */
export async function checkDrm(
  { vendor, drivers }: DrmDriver,
  host: GpuCheckHost,
): Promise<readonly GpuFinding[] | null> {
  const check = `gpu${vendor}`;
  const names = drivers.join(' or ');
  const driven = host
    .list('/sys/class/drm')
    .filter((name) => /^card\d+$/.test(name))
    .flatMap((name) => cardIdentity(host.text(`/sys/class/drm/${name}/device/uevent`) ?? '') ?? [])
    .filter(({ driver }) => drivers.includes(driver));
  if (driven.length === 0) {
    // Server boards of any vendor may have an integrated GPU that nobody wants a driver for.
    const cards = onBus(vendor, host).filter((slot) => slot !== '0000:00:02.0').length;
    if (cards === 0) return null;
    const message = `${count(cards, `${vendor} GPU`)} on the PCI bus, but no driver (${names}) is bound to ${cards === 1 ? 'it' : 'them'}.`;
    return [
      {
        check,
        status: 'fail',
        message,
        fix: `modprobe ${drivers.at(-1)}; dmesg | grep -i ${drivers.at(-1)} says why it does not start`,
      },
    ];
  }
  const found = `${driven[0]?.driver} drives ${count(driven.length, `${vendor} GPU`)}.`;
  const reading = await host.readGpus(10_000);
  const findings: GpuFinding[] = [{ ...ok(check, found), ...(reading === null ? {} : { reading }) }];
  if (reading === null || reading.status === 'stalled') {
    const fix = `dmesg | grep -i ${driven[0]?.driver}; a reboot where the driver does not come back`;
    return [
      ...findings,
      {
        check: `${check}Files`,
        status: 'fail',
        message: `Files of the ${driven[0]?.driver} driver give no answer.`,
        fix,
      },
    ];
  }
  if (reading.devices.some(({ processesKnown, health }) => !processesKnown && health === 'ok'))
    findings.push({
      check: `${check}Processes`,
      status: 'warn',
      message: `User ${host.uid} may not see which processes of others hold ${vendor} GPUs: their VRAM and utilization are unknown.`,
      fix: 'run the hive as root, or with CAP_SYS_PTRACE',
    });
  return findings;
}
