import { useState } from 'preact/hooks';
import { maxSilencedHives } from '../../contract/limits.js';
import type { SilenceKind } from '../../contract/silence.js';
import type { AttentionGroup } from '../../present/attention.js';
import { plural } from '../../present/sentences.js';
import { client } from '../data/client.js';
import { refreshSilences } from '../data/silences.js';
import { Confirm } from '../parts/confirm.js';
import { ChoiceField, TextField } from '../parts/fields.js';

const times = [
  ['3600', '1 hour'],
  ['28800', '8 hours'],
  ['86400', '24 hours'],
  ['604800', '7 days'],
] as const;

const kinds: readonly (readonly [SilenceKind, string])[] = [
  ['acknowledged', 'Acknowledge: until it is resolved'],
  ['silenced', 'Silence: even if it recurs'],
];

/** Who looks at it, why, and until when. */
export function SilenceDialog({ group, close }: { readonly group: AttentionGroup; readonly close: () => void }) {
  const [kind, setKind] = useState<SilenceKind>('acknowledged');
  const [reason, setReason] = useState('');
  const [by, setBy] = useState('');
  const [seconds, setSeconds] = useState<(typeof times)[number][0]>('86400');
  const { cause, hives, title } = group;
  const run = async () => {
    await client.silence({
      kind,
      cause,
      hives: hives.slice(0, maxSilencedHives),
      reason: reason.trim(),
      by: by.trim(),
      expiresInSeconds: Number(seconds),
    });
    await refreshSilences();
  };
  return (
    <Confirm title={`Acknowledge ${title}?`} action="Acknowledge" run={run} close={close}>
      <p>
        For {hives.length === 1 ? hives[0] : plural(hives.length, 'host')}, at all who look at this fleet. It is left
        out of counts and notifications, and listed below them.
      </p>
      <ChoiceField label="How" choices={kinds} value={kind} set={setKind} />
      <TextField label="Reason" maxLength={256} value={reason} set={setReason} />
      <TextField label="Your name" maxLength={128} value={by} set={setBy} />
      <ChoiceField label="For at most" choices={times} value={seconds} set={setSeconds} />
    </Confirm>
  );
}
