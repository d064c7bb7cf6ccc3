import { expect, it } from 'vitest';
import { acceptsGzip } from '../../lib/api/cached-document.js';

it.each([
  ['gzip', true],
  ['br, gzip', true],
  ['deflate, GZIP;q=0.5', true],
  ['gzip; q=1.0, identity; q=0.5', true],
  ['gzip;q=0', false],
  ['gzip; q=0.000', false],
  ['x-gzip', false],
  ['identity', false],
  ['', false],
])('accept-encoding %j takes gzip: %s', (header, expected) => expect(acceptsGzip(header)).toBe(expected));
