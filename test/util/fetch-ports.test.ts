import { fetch } from 'undici';
import { expect, it } from 'vitest';
import { unreachable } from '../../lib/client/transport.js';
import { blockedPortText } from '../../lib/util/fetch-ports.js';

/** Why fetch does not connect; a request that is over already never leaves, but its port is looked at before. */
async function reasonOf(port: number): Promise<string> {
  const error = await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' }).then(
    () => null,
    (reason: unknown) => reason,
  );
  return error === null ? '' : unreachable(`http://127.0.0.1:${port}/`, error).message;
}

it('ports that fetch refuses are those that are said, and the client says so', async () => {
  const ports = Array.from({ length: 11_000 }, (_, i) => i + 1).filter((port) => blockedPortText(port) !== null);
  expect(ports).toHaveLength(82);
  for (const port of ports) expect(await reasonOf(port)).toMatch(/no other client of fetch, connects to this port/);
  for (const port of [80, 443, 3000, 7833, 8000, 8080, 9090, 65_535]) expect(blockedPortText(port)).toBeNull();
});
