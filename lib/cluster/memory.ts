import type { Registry } from '../queen/registry.js';
import { settledWithin } from '../util/deadline.js';
import { HivepulseError } from '../util/errors.js';
import type { Bus } from './bus.js';

/** A disk that has not answered for so long is not waited for, ms. */
const diskWaitMs = 2000;

/**
 * The bus of a single queen: the registry itself.
 * @param saved resolves when what was granted so far would outlive this process. Where it rejects, or takes longer than two
 * seconds, `warn` is called and the grant stands: the room is held as long as the process lives.
 */
export function memoryBus(
  registry: Registry,
  saved: () => Promise<void> = () => Promise.resolve(),
  warn: (error: unknown) => void = () => undefined,
  waitMs = diskWaitMs,
): Bus {
  const kept = boundedWait(saved, warn, waitMs);
  return {
    state: () => 'memory',
    counts: () => null,
    keyframeWanted: null,
    publishHeartbeat: (_heartbeat, _body, acknowledged) => acknowledged,
    publishDelta: (_delta, acknowledged) => acknowledged,
    publishLoads: () => undefined,
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
    passOn: () => undefined,
    close: () => Promise.resolve(),
  };
}

/** Waits for `saved`, at most `waitMs`, and not at all while an earlier write still hangs: one warning, one wait. */
function boundedWait(saved: () => Promise<void>, warn: (error: unknown) => void, waitMs: number): () => Promise<void> {
  let hangs = false;
  return async () => {
    if (hangs) return;
    let late = true;
    const writing = saved()
      .catch(warn)
      .finally(() => {
        hangs = false;
        late = false;
      });
    await settledWithin(writing, waitMs);
    if (!late || hangs) return;
    hangs = true;
    warn(
      new HivepulseError(
        'STATE_UNWRITABLE',
        'state',
        `The disk of --state has not answered for ${waitMs} ms: reservations are granted all the same, and would not outlive this queen.`,
      ),
    );
  };
}
