import { type Attention, type AttentionGroup, groupAttention } from '../present/attention.js';
import { sortedAttention } from '../present/silence.js';
import type { Registry } from './registry.js';
import { silenceKey } from './silences.js';

/** What is wrong or right again for so long is news; what comes and goes faster is none, ms. */
const settleMs = 10_000;
/** What was acknowledged is open again where its trouble was away for so long and comes back, ms. */
const overMs = 60_000;

export interface AttentionNews {
  readonly opened: readonly AttentionGroup[];
  readonly closed: readonly AttentionGroup[];
}

interface Known {
  item: Attention;
  readonly sinceMs: number;
  seenMs: number;
  reported: boolean;
}

/** What came to need attention and what no longer does, and the end of what was acknowledged. Pure but for the clock. */
export class AttentionMonitor {
  readonly #registry: Pick<Registry, 'attention' | 'silences' | 'warming'>;
  readonly #clock: () => number;
  readonly #known = new Map<string, Known>();
  /** When an acknowledged trouble was seen last. */
  readonly #acknowledged = new Map<string, number>();

  constructor(registry: Pick<Registry, 'attention' | 'silences' | 'warming'>, clock = () => performance.now()) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Null: there is no news. While the queen has not heard all its hives nothing is news. */
  look(): AttentionNews | null {
    const { warming, silences } = this.#registry;
    if (warming) return null;
    const nowMs = this.#clock();
    const held = silences.list();
    const all = this.#registry.attention();
    this.#endAcknowledged(all, nowMs);
    const { open, silenced } = sortedAttention(all, held);
    // Of what somebody looks at already nothing more is said, nor that it is over.
    for (const { items } of silenced) for (const { id } of items) this.#known.delete(id);
    for (const item of open.flatMap(({ items }) => items)) this.#see(item, nowMs);
    const opened: Attention[] = [];
    const closed: Attention[] = [];
    for (const [id, known] of this.#known) {
      if (known.seenMs !== nowMs) {
        if (known.reported && nowMs - known.seenMs < settleMs) continue;
        this.#known.delete(id);
        if (known.reported) closed.push(known.item);
      } else if (!known.reported && nowMs - known.sinceMs >= settleMs) {
        known.reported = true;
        opened.push(known.item);
      }
    }
    if (opened.length + closed.length === 0) return null;
    return { opened: groupAttention(opened), closed: groupAttention(closed) };
  }

  #see(item: Attention, nowMs: number): void {
    const known = this.#known.get(item.id);
    if (known === undefined) this.#known.set(item.id, { item, sinceMs: nowMs, seenMs: nowMs, reported: false });
    else {
      known.item = item;
      known.seenMs = nowMs;
    }
  }

  #endAcknowledged(all: readonly Attention[], nowMs: number): void {
    const { silences } = this.#registry;
    const held = silences.list().filter(({ kind }) => kind === 'acknowledged');
    const keys = new Set<string>();
    const there = new Set(all.flatMap(({ cause, hive }) => [silenceKey(cause, hive), silenceKey(cause, null)]));
    for (const { cause, hive } of held) {
      const key = silenceKey(cause, hive);
      keys.add(key);
      if (there.has(key) || !this.#acknowledged.has(key)) this.#acknowledged.set(key, nowMs);
      else if (nowMs - this.#acknowledged.get(key)! >= overMs) silences.lift(cause, hive);
    }
    for (const key of this.#acknowledged.keys()) if (!keys.has(key)) this.#acknowledged.delete(key);
  }
}

const lineOf = ({ cause, severity, title, text, count, hives }: AttentionGroup) => ({
  cause,
  severity,
  title,
  text,
  count,
  hives: hives.slice(0, 100),
});

/** What a webhook is sent: a text for people, in the words of the page, and the same for programs. Pure. */
export function newsMessage({ opened, closed }: AttentionNews, queenId: string, atMs: number): object {
  const text = [
    ...opened.map((group) => `${group.severity}: ${group.title}. ${group.text}`),
    ...closed.map(({ title }) => `over: ${title}`),
  ].join('\n');
  return {
    type: 'hivepulse.attention',
    timestamp: new Date(atMs).toISOString(),
    data: { queenId, text, opened: opened.map(lineOf), closed: closed.map(lineOf) },
    // What chat services show.
    text,
  };
}
