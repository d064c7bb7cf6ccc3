import type { Server } from 'node:net';
import { loadBinding } from '../native/binding.js';

/**
 * How long data may wait for a peer's acknowledgement, ms. A peer that vanishes without a word (a host that loses power,
 * a cable, a firewall that forgets) acknowledges nothing; left to itself the kernel goes on for a quarter of an hour
 * (tcp_retries2), and each of them holds a descriptor and a place among the streams. Longer than a stream may be
 * behind (30 s), so that a reader that is there and does not read is evicted first.
 */
export const unacknowledgedMs = 60_000;

/**
 * Lets go of connections of this server whose peer has vanished. Call before it accepts any. Where the addon is missing,
 * the kernel's own timeout holds.
 */
export function endVanishedPeers(server: Server, milliseconds = unacknowledgedMs): void {
  server.once('listening', () => {
    // Node has no call for it; the descriptor is that of net.Server's handle.
    const { _handle: handle } = server as unknown as { _handle?: { readonly fd?: number } | null };
    const address = server.address();
    if (address === null || typeof address === 'string' || handle?.fd === undefined || handle.fd < 0) return;
    loadBinding().binding?.setTcpUserTimeout?.(handle.fd, milliseconds);
  });
}
