import { isIPv4, isIPv6 } from 'node:net';

const label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** Addresses that mean "all" where one listens, and nobody where one connects. */
const isUnspecified = (text: string): boolean => text === '0.0.0.0' || (isIPv6(text) && /^[0:]+$/.test(text));

/** An address of loopback, or its name. */
export const isLoopbackAddress = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

export const hostAddressExpects =
  'an IP address or host name that others reach, such as 10.0.0.7, fd00::7 or gpu-7.example: without scheme, port, brackets or blanks, and not 0.0.0.0 or ::';

/** Whether others can connect to it as it stands: an IP address (IPv6 without brackets and zone) or a host name. */
export function isHostAddress(text: string): boolean {
  if (isIPv4(text)) return !isUnspecified(text);
  if (text.includes(':')) return isIPv6(text) && !text.includes('%') && !isUnspecified(text);
  // The last label of a name is no number (RFC 3696): 10.0.0 and 256.1.1.1 are addresses with a mistake.
  const labels = text.replace(/\.$/, '').split('.');
  return text.length <= 253 && labels.every((part) => label.test(part)) && !/^\d+$/.test(labels.at(-1) ?? '');
}
