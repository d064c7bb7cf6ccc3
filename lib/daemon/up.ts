import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { checkUpOptions } from '../config/check-options.js';
import type { HiveOptions, QueenOptions, Running, TokenGrant } from '../config/options.js';
import { defaults } from '../contract/defaults.js';
import { HivepulseError } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';
import { idOfHost, type RunningHive, startHive } from './hive.js';
import { type Queen, startQueen } from './queen.js';

export interface UpOptions {
  readonly queen?: QueenOptions;
  /** `queens` is the queen of this process, and need not be given. */
  readonly hive?: HiveOptions;
  /** Ends the start; afterwards use `close`. */
  readonly signal?: AbortSignal;
}

export interface Up extends Running {
  readonly queen: Queen;
  readonly hive: RunningHive;
}

/**
 * Queen and hive in one process: this machine, live, at the queen's `url`. The hive speaks to its queen over loopback HTTP
 * like any other; where the queen asks for tokens it gets one of its own that lives as long as the process.
 * @throws HivepulseError as startQueen and startHive; nothing stays open then
 */
export async function startUp(options: UpOptions = {}): Promise<Up> {
  checkUpOptions(options);
  const { signal: queenSignal, ...queenOptions } = options.queen ?? {};
  // Its hive speaks to its own queen, which passes on to the others what they share.
  const { signal: hiveSignal, nats: _, ...hiveOptions } = options.hive ?? {};
  const signals = [options.signal, queenSignal, hiveSignal].filter((signal) => signal !== undefined);
  const throwIfAborted = () => {
    if (signals.some((signal) => signal.aborted))
      throw new HivepulseError('CLOSED', 'up', 'It was asked to end before it had started.');
  };

  throwIfAborted();
  const grant = ownGrant(queenOptions, hiveOptions);
  const queen = await startQueen(
    grant === null ? queenOptions : { ...queenOptions, tokens: [...(queenOptions.tokens ?? []), grant] },
  );
  try {
    throwIfAborted();
    const hive = await startHive({
      // Whoever can ask this queen is on this machine, unless `address` says where else it is reached.
      ...(isLoopbackAddress(queenOptions.host ?? defaults.host) ? { address: '127.0.0.1' } : {}),
      ...hiveOptions,
      queens: [queen.url],
      ...(grant === null ? {} : { token: grant.token }),
      ...(queenOptions.tls === undefined ? {} : { tls: { ca: queenOptions.tls.cert, ...hiveOptions.tls } }),
    });
    let closing: Promise<void> | null = null;
    // The hive first: its last heartbeat says `stopping`, and the queen must still receive it.
    const close = (): Promise<void> => {
      closing ??= hive.close().finally(() => queen.close());
      return closing;
    };
    if (signals.some((signal) => signal.aborted)) {
      await close();
      throwIfAborted();
    }
    return { url: queen.url, queen, hive, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await queen.close();
    throw error;
  }
}

/** A token for this process's own hive; null where the queen asks for none. */
function ownGrant(queen: QueenOptions, hive: HiveOptions): TokenGrant | null {
  if (queen.tokensFile === undefined && (queen.tokens ?? []).length === 0) return null;
  return { token: randomBytes(32).toString('base64url'), role: 'hive', hive: hive.id ?? idOfHost(hostname()) };
}
