import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { engines } from '../../lib/engines/table.js';
import { freePorts } from './free-ports.js';

describe('free ports', () => {
  it('are given once, however many ask at the same time', async () => {
    const asked = Array.from({ length: 40 }, () => freePorts(12));
    const given = (await Promise.all(asked)).flat();
    expect(new Set(given).size).toBe(480);
    const more = await freePorts(500);
    expect(more.filter((port) => given.includes(port))).toEqual([]);
    for (const { defaultPort } of engines) expect([...given, ...more]).not.toContain(defaultPort);
  });

  it('are free on every address', async () => {
    const [port] = await freePorts(1);
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ port }, resolve));
    server.close();
  });
});
