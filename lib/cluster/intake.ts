import { readHeartbeat } from '../contract/validate.js';
import { decompress, parseJson } from '../http/body.js';
import type { Registry } from '../queen/registry.js';

export interface HeartbeatMessage {
  readonly data: Uint8Array;
  readonly encoding: string | null;
}

export interface IntakeLimits {
  readonly maxHeartbeatBytes: number;
  readonly maxWorkersPerHive: number;
}

/** How long heartbeats are taken before whoever else waits for the event loop has its turn, ms. */
const sliceMs = 8;

/**
 * Takes the heartbeats that other queens and hives publish. Where they come faster than they can be taken, the newest of
 * each hive stands for those before it.
 */
export class Intake {
  readonly #registry: Registry;
  readonly #limits: IntakeLimits;
  readonly #waiting = new Map<string, HeartbeatMessage>();
  #draining = false;
  /** Those that the registry was given. */
  heard = 0;
  /** Those replaced by a newer one before their turn came. */
  skipped = 0;
  /** Those that are no heartbeats, or are of another hive than their subject says. */
  malformed = 0;

  constructor(registry: Registry, limits: IntakeLimits) {
    this.#registry = registry;
    this.#limits = limits;
  }

  take(hive: string, message: HeartbeatMessage): void {
    if (this.#waiting.delete(hive)) this.skipped++;
    this.#waiting.set(hive, message);
    if (this.#draining) return;
    this.#draining = true;
    setImmediate(() => void this.#drain());
  }

  clear(): void {
    this.#waiting.clear();
  }

  async #drain(): Promise<void> {
    let beganMs = performance.now();
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) break;
      const [hive, message] = next.value;
      this.#waiting.delete(hive);
      await this.#merge(hive, message);
      if (performance.now() - beganMs < sliceMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      beganMs = performance.now();
    }
    this.#draining = false;
  }

  async #merge(hive: string, { data, encoding }: HeartbeatMessage): Promise<void> {
    try {
      const { maxHeartbeatBytes, maxWorkersPerHive } = this.#limits;
      const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      const plain = encoding === null ? body : await decompress(body, encoding, maxHeartbeatBytes);
      const verdict = readHeartbeat(parseJson(plain), { maxWorkers: maxWorkersPerHive });
      // Who may publish as whom is decided by the server, by subject: a heartbeat must be of the hive in its subject.
      if (!verdict.ok || verdict.heartbeat.hive.id !== hive) {
        this.malformed++;
        return;
      }
      this.#registry.heartbeat(verdict.heartbeat);
      this.heard++;
    } catch {
      this.malformed++;
    }
  }
}
