import type { HivepulseClient } from '../../client/client.js';
import type { FleetMirror } from '../../client/mirror.js';
import type { MissingCounts } from '../../contract/api.js';
import type { AttentionLine } from '../../contract/silence.js';
import { ansiOf } from '../../present/status.js';
import { fitSpans, span } from '../table.js';
import type { Line } from './lines.js';

const askEveryMs = 5000;
const maxLines = 3;

/**
 * What needs attention and what is missing, as the queen has it; nothing where it does not answer, or is an older one. It also says whether the
 * queen has heard its whole fleet by now, which a stream says only as it begins.
 */
export class AttentionWatch {
  readonly #client: Pick<HivepulseClient, 'attention' | 'fleet'>;
  readonly #mirror: Pick<FleetMirror, 'setWarming'>;
  readonly #now: () => number;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;
  lines: readonly AttentionLine[] = [];
  /** What was seen and is gone; null: not known. */
  missing: MissingCounts | null = null;

  constructor(
    client: Pick<HivepulseClient, 'attention' | 'fleet'>,
    mirror: Pick<FleetMirror, 'setWarming'>,
    now: () => number = () => performance.now(),
  ) {
    this.#client = client;
    this.#mirror = mirror;
    this.#now = now;
  }

  /** Asks again where the last answer is old; `then` is called after an answer. */
  refresh(signal: AbortSignal, then: () => void = () => undefined): Promise<void> {
    if (this.#asking !== null) return this.#asking;
    if (this.#now() - this.#askedAtMs < askEveryMs) return Promise.resolve();
    this.#askedAtMs = this.#now();
    this.#asking = this.#ask(signal).finally(() => {
      this.#asking = null;
      then();
    });
    return this.#asking;
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      const [{ items, warming }, { missing }] = await Promise.all([
        this.#client.attention({ signal }),
        this.#client.fleet({ signal }),
      ]);
      this.missing = missing;
      this.lines = items.filter(({ silence, severity }) => silence === null && severity !== 'note');
      this.#mirror.setWarming(warming);
    } catch {
      this.lines = [];
      this.missing = null;
    }
  }
}

/** `✕ 13 GPUs stalled  On host-1, host-2. ...`: what is critical, and as many warnings as there is room for. */
export function attentionLines(lines: readonly AttentionLine[], total: number): Line[] {
  const critical = lines.filter(({ severity }) => severity === 'critical').length;
  const shown = lines.slice(0, Math.max(critical, maxLines));
  const left = lines.length - shown.length;
  const drawn = shown.map(({ severity, title, text }) =>
    fitSpans(
      [
        severity === 'critical' ? span('✕ ', ansiOf.bad) : span('◆ ', ansiOf.warning),
        span(title, '1'),
        span(`  ${text}`),
      ],
      total,
    ),
  );
  return left === 0
    ? drawn
    : [...drawn, fitSpans([span(`and ${left} more: hivepulse attention`, ansiOf.unknown)], total)];
}
