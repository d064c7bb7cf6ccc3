import type { Registry } from '../queen/registry.js';
import type { Bus } from './bus.js';

/**
 * The bus of a single queen: the registry itself.
 * @param saved resolves when what was granted so far would outlive this process; where it rejects, `warn` is told and the
 * grant stands, since the room is held as long as the process lives.
 */
export function memoryBus(
  registry: Registry,
  saved: () => Promise<void> = () => Promise.resolve(),
  warn: (error: unknown) => void = () => undefined,
): Bus {
  const kept = () => saved().catch(warn);
  return {
    state: () => 'memory',
    counts: () => null,
    took: (_heartbeat, _body, acknowledged) => acknowledged,
    // Room that was granted must not be granted again by a queen that starts anew: the answer waits for the disk.
    async place(request) {
      const reply = registry.place(request);
      if (reply.reservation !== null) await kept();
      return reply;
    },
    async release(id) {
      const released = registry.releaseReservation(id);
      if (released) await kept();
      return released;
    },
    removed: () => undefined,
    close: () => Promise.resolve(),
  };
}
