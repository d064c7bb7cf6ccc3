import type { HivepulseClient } from '../../client/client.js';
import type { Missing } from '../../contract/missing.js';
import { isLost, missingName } from '../../present/missing.js';
import { plural } from '../../present/sentences.js';
import { ansiOf } from '../../present/status.js';
import { formatDuration } from '../../present/units.js';
import { fitSpans, span } from '../table.js';
import type { Line } from './detail.js';

const askEveryMs = 5000;
const maxListed = 200;
const maxNamed = 3;

/** Hosts and GPUs that were lost, as the queen keeps them; nothing where it does not answer, or is an older one. */
export class MissingWatch {
  readonly #client: HivepulseClient;
  readonly #now: () => number;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;
  items: readonly Missing[] = [];

  constructor(client: HivepulseClient, now: () => number = () => performance.now()) {
    this.#client = client;
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
    const lists = await Promise.all(
      (['hive', 'gpu'] as const).map((kind) => this.#client.missing({ kind, limit: maxListed }, { signal })),
    ).catch(() => []);
    this.items = lists.flatMap(({ items }) => items).filter(isLost);
  }
}

/** `✕ 2 missing  host-7 for 12 min 03 s, GPU 2 of host-1 for 3 h 07 min`; nothing where all are there. */
export function missingLines(items: readonly Missing[], total: number): Line[] {
  if (items.length === 0) return [];
  const named = items
    .slice(0, maxNamed)
    .map((item) => `${missingName(item)} for ${formatDuration(item.missingMs / 1000)}`);
  const more = items.length > maxNamed ? ' and more (hivepulse missing)' : '';
  const line = [
    span(`✕ ${plural(items.length, 'missing', 'missing')}`, ansiOf.bad),
    span(`  ${named.join(', ')}${more}`),
  ];
  return [fitSpans(line, total)];
}
