import type { Cordon } from '../contract/cordon.js';
import type { Silence } from '../contract/silence.js';
import type { DecisionChange } from './decisions.js';
import type { EventPublisher } from './event-publisher.js';
import type { Indexes } from './indexes.js';
import { targetOf } from './silences.js';
import { hiveView } from './views.js';

/** Sets the record, and says who and why: in an event, and in the row of the hive. */
export function cordonChanged(
  publisher: EventPublisher,
  indexes: Indexes,
  { key: id, value: cordon, before, expired }: DecisionChange<Cordon>,
  nowMs: number,
): void {
  const hive = indexes.hives.get(id);
  if (hive) hive.cordon = cordon;
  if (cordon !== null) publisher.publishHiveEvent('hiveCordoned', id, { ...cordon });
  else publisher.publishHiveEvent('hiveUncordoned', id, { reason: before?.reason ?? null, expired });
  if (!hive || !publisher.hasListeners) return;
  const rows = { hive: hiveView(hive, nowMs), workers: [], gone: [], whole: false };
  publisher.emit({ type: 'heartbeat', hiveId: id, heartbeat: rows });
}

/** The hive of an event that is of the whole fleet. */
const wholeFleet = '*';

export function silenceChanged(publisher: EventPublisher, change: DecisionChange<Silence>): void {
  const { key, value: silence, before, expired } = change;
  const { cause, hive } = targetOf(key);
  if (silence !== null) {
    const { kind, reason, by, expiresAt } = silence;
    publisher.publishHiveEvent('attentionSilenced', hive ?? wholeFleet, { cause, kind, reason, by, expiresAt });
  } else
    publisher.publishHiveEvent('attentionUnsilenced', hive ?? wholeFleet, {
      cause,
      kind: before?.kind ?? null,
      expired,
    });
}
