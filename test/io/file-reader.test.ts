import { expect, it } from 'vitest';
import { filesOfDevice, sleeps, splitDevice } from '../../lib/io/file-reader.js';

it.each([
  ['suspended', true],
  ['suspended\n', true],
  ['suspending\n', true],
  ['resuming\nactive', true],
  ['active\n', false],
  ['active\nsuspended', false],
  ['xsuspended', false],
  ['suspendedx', false],
  ['unsupported\n', false],
  ['', false],
])('a device of the status %j sleeps: %s', (status, is) => expect(sleeps(status)).toBe(is));

it('the files of a device are one text, of which they come again, in their order', () => {
  const files = ['/sys/a b', '/sys/c', '/sys/d\n'];
  expect(splitDevice(filesOfDevice(files))).toEqual(files);
  expect(filesOfDevice(files.slice(0, 1))).toBe('/sys/a b');
});
