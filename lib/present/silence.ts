/** What is acknowledged or silenced apart from what is not. Pure. */
import type { AttentionLine, Silence } from '../contract/silence.js';
import { type Attention, type AttentionGroup, groupAttention } from './attention.js';

export interface SilencedGroup extends AttentionGroup {
  readonly silence: Silence;
}
export interface SortedAttention {
  /** What somebody has to look at. */
  readonly open: readonly AttentionGroup[];
  /** Limits of hosts that stay as they are: for whoever asks. */
  readonly notes: readonly AttentionGroup[];
  readonly silenced: readonly SilencedGroup[];
}

/** One of a hive comes before one of the whole fleet. */
const keyOf = (cause: string, hive: string | null): string => `${hive ?? '*'} ${cause}`;

export function sortedAttention(all: readonly Attention[], silences: readonly Silence[]): SortedAttention {
  const held = new Map(silences.map((silence) => [keyOf(silence.cause, silence.hive), silence]));
  const silenceOf = ({ cause, hive }: Attention) => held.get(keyOf(cause, hive)) ?? held.get(keyOf(cause, null));
  const open: Attention[] = [];
  const notes: Attention[] = [];
  const bySilence = new Map<string, { silence: Silence; items: Attention[] }>();
  for (const item of all) {
    const silence = silenceOf(item);
    if (silence === undefined) {
      (item.severity === 'note' ? notes : open).push(item);
      continue;
    }
    // What was done in one go is one line.
    const key = `${silence.kind} ${silence.by} ${silence.since} ${silence.reason}`;
    const known = bySilence.get(key);
    if (known) known.items.push(item);
    else bySilence.set(key, { silence, items: [item] });
  }
  const silenced = [...bySilence.values()].flatMap(({ silence, items }) =>
    groupAttention(items).map((group) => ({ ...group, silence })),
  );
  return { open: groupAttention(open), notes: groupAttention(notes), silenced };
}

const maxItems = 100;

const lineOf = ({ cause, severity, count, hives, title, text, items }: AttentionGroup, silence: Silence | null) => ({
  cause,
  severity,
  count,
  hives: [...hives],
  title,
  text,
  silence,
  items: items.slice(0, maxItems).map(({ id, hive, count, title, text }) => ({ id, hive, count, title, text })),
});

/** As the queen answers it. */
export function attentionLines(all: readonly Attention[], silences: readonly Silence[]): AttentionLine[] {
  const { open, notes, silenced } = sortedAttention(all, silences);
  return [
    ...[...open, ...notes].map((group) => lineOf(group, null)),
    ...silenced.map((group) => lineOf(group, group.silence)),
  ];
}

/** `acknowledged by kim until 14:05: new fan ordered` */
export const silenceText = ({ kind, by, reason, expiresAt }: Silence, until: (at: Date) => string): string =>
  `${kind} by ${by} until ${until(new Date(expiresAt))}: ${reason}`;
