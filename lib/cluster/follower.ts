import type { ConsumerMessages, JetStreamClient, JsMsg, StreamInfo } from '@nats-io/jetstream';
import type { JetStreamModule } from '../nats/nats-link.js';

/**
 * Reads one stream in order, from a sequence on. A consumer can fall silent without an error (the server lost it, the stream
 * was made anew), so `isHealthy` compares it with what the server reports of the stream.
 */
export class Follower {
  readonly #stream: string;
  readonly #onMessage: (message: JsMsg) => void;
  readonly #onEnd: () => void;
  #messages: ConsumerMessages | null = null;
  #sequence: number;
  #seenMs: number;
  #behindAt: number | null = null;
  #stopped = false;

  /** @param sequence the last one that is known already. */
  constructor(stream: string, sequence: number, onMessage: (message: JsMsg) => void, onEnd: () => void = () => {}) {
    this.#stream = stream;
    this.#sequence = sequence;
    this.#onMessage = onMessage;
    this.#onEnd = onEnd;
    this.#seenMs = performance.now();
  }

  /** The last message taken. */
  get sequence(): number {
    return this.#sequence;
  }

  async start(js: JetStreamClient, { DeliverPolicy }: JetStreamModule): Promise<void> {
    const consumer = await js.consumers.get(this.#stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#sequence + 1,
    });
    const messages = await consumer.consume({ idle_heartbeat: 1000, expires: 30_000, max_messages: 500 });
    if (this.#stopped) {
      messages.stop();
      return;
    }
    this.#messages = messages;
    void this.#read(messages);
  }

  /** `info`: the stream as the server has it. False: this follower has ended or is silent, and has to be replaced. */
  isHealthy(info: StreamInfo, nowMs: number, silentMs: number): boolean {
    if (this.#stopped) return false;
    const { last_seq: last, messages } = info.state;
    // All that was written has aged away: there is nothing to come.
    if (messages === 0) this.#sequence = Math.max(this.#sequence, last);
    if (this.#sequence >= last) {
      this.#behindAt = null;
      return true;
    }
    if (this.#behindAt !== this.#sequence) {
      this.#behindAt = this.#sequence;
      this.#seenMs = nowMs;
    }
    return nowMs - this.#seenMs < silentMs;
  }

  stop(): void {
    this.#stopped = true;
    this.#messages?.stop();
  }

  async #read(messages: ConsumerMessages): Promise<void> {
    try {
      for await (const message of messages) {
        if (this.#stopped) return;
        if (message.seq <= this.#sequence) continue;
        this.#sequence = message.seq;
        this.#onMessage(message);
      }
    } catch {
      // Found by `isHealthy`.
    }
    if (this.#stopped) return;
    this.#stopped = true;
    this.#onEnd();
  }
}
