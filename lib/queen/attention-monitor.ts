import { type Attention, type AttentionGroup, groupAttention, maxOfHive } from '../present/attention.js';
import { printable } from '../present/printable.js';
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
  /** Reported before a restart: until then its host may only not have been heard yet. */
  readonly awaitedUntilMs?: number;
}

/** What came to need attention and what no longer does, and the end of what was acknowledged. Pure but for the clock. */
export class AttentionMonitor {
  readonly #registry: Pick<Registry, 'attention' | 'silences' | 'warming' | 'hasHive'>;
  readonly #clock: () => number;
  readonly #known = new Map<string, Known>();
  /** When an acknowledged trouble was seen last. */
  readonly #acknowledged = new Map<string, number>();

  constructor(
    registry: Pick<Registry, 'attention' | 'silences' | 'warming' | 'hasHive'>,
    clock = () => performance.now(),
  ) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Null: there is no news. While the queen has not heard all its hives nothing is news. */
  look(): AttentionNews | null {
    const { warming, silences } = this.#registry;
    if (warming) return null;
    const nowMs = this.#clock();
    const held = silences.list();
    const { items, cut } = this.#registry.attention();
    this.#endAcknowledged(items, cut, nowMs);
    const { open, silenced } = sortedAttention(items, held);
    // Of what somebody looks at already nothing more is said, nor that it is over.
    for (const { items } of silenced) for (const { id } of items) this.#known.delete(id);
    for (const item of open.flatMap(({ items }) => items)) this.#see(item, nowMs);
    this.#holdUnseen(cut, nowMs);
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

  /** What was reported and may be wrong still though it is not listed: of hosts that are not heard yet, or of which not all is. */
  #holdUnseen(cut: ReadonlySet<string>, nowMs: number): void {
    const held = new Map<string, number>();
    for (const known of this.#known.values()) {
      const { item, reported, seenMs, awaitedUntilMs = nowMs } = known;
      if (!reported || seenMs === nowMs) continue;
      const count = held.get(item.hive) ?? 0;
      const isCut = cut.has(item.hive) && count < maxOfHive;
      if (!isCut && (nowMs >= awaitedUntilMs || this.#registry.hasHive(item.hive))) continue;
      known.seenMs = nowMs;
      held.set(item.hive, count + 1);
    }
  }

  /** What was said to have come, and not yet to be over. */
  *reported(): Generator<Attention, void> {
    for (const { item, reported } of this.#known.values()) if (reported) yield item;
  }

  /** Takes over what was reported before a restart: it is no news. Of hosts that are not heard it is not over for so long. */
  adopt(items: Iterable<Attention>, awaitedForMs: number): void {
    const nowMs = this.#clock();
    for (const item of items)
      this.#known.set(item.id, {
        item,
        sinceMs: nowMs,
        seenMs: nowMs,
        reported: true,
        awaitedUntilMs: nowMs + awaitedForMs,
      });
  }

  #see(item: Attention, nowMs: number): void {
    const known = this.#known.get(item.id);
    if (known === undefined) this.#known.set(item.id, { item, sinceMs: nowMs, seenMs: nowMs, reported: false });
    else {
      known.item = item;
      known.seenMs = nowMs;
    }
  }

  #endAcknowledged(all: readonly Attention[], cut: ReadonlySet<string>, nowMs: number): void {
    const { silences } = this.#registry;
    const held = silences.list().filter(({ kind }) => kind === 'acknowledged');
    if (held.length === 0) {
      this.#acknowledged.clear();
      return;
    }
    const keys = new Set<string>();
    const there = new Set(all.flatMap(({ cause, hive }) => [silenceKey(cause, hive), silenceKey(cause, null)]));
    for (const { cause, hive } of held)
      if (hive === null ? cut.size > 0 : cut.has(hive)) there.add(silenceKey(cause, hive));
    for (const { cause, hive } of held) {
      const key = silenceKey(cause, hive);
      keys.add(key);
      if (there.has(key) || !this.#acknowledged.has(key)) this.#acknowledged.set(key, nowMs);
      else if (nowMs - this.#acknowledged.get(key)! >= overMs) silences.lift(cause, hive);
    }
    for (const key of this.#acknowledged.keys()) if (!keys.has(key)) this.#acknowledged.delete(key);
  }
}

/** Of a message: what says more is neither read nor taken by those who show it. */
const maxLines = 100;
const maxText = 500;

/** As `<`, `>` and `@` are no mention, link or markup in any service that shows it; what cannot be seen is a dot. */
const inChat = (text: string): string =>
  printable(text.length > maxText ? `${text.slice(0, maxText)}…` : text)
    .replaceAll('<', '‹')
    .replaceAll('>', '›')
    .replaceAll('@', '＠');

const counted = (lines: readonly string[]): string[] =>
  lines.length > maxLines ? [...lines.slice(0, maxLines), `and ${lines.length - maxLines} more`] : [...lines];

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
  const lines = [
    ...counted(opened.map((group) => inChat(`${group.severity}: ${group.title}. ${group.text}`))),
    ...counted(closed.map(({ title }) => inChat(`over: ${title}`))),
  ];
  const text = lines.join('\n');
  return {
    type: 'hivepulse.attention',
    timestamp: new Date(atMs).toISOString(),
    data: {
      queenId,
      text,
      opened: opened.slice(0, maxLines).map(lineOf),
      closed: closed.slice(0, maxLines).map(lineOf),
    },
    // What chat services show.
    text,
  };
}
