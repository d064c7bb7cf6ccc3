import { useState } from 'preact/hooks';
import { type AttentionGroup, severityText } from '../../present/attention.js';
import { formatMoment } from '../../present/moment.js';
import { plural } from '../../present/sentences.js';
import { type SilencedGroup, silenceText } from '../../present/silence.js';
import { attention, canNotify, notifies, setNotifies } from '../data/attention.js';
import { client } from '../data/client.js';
import { show } from '../data/location.js';
import { isAdmin } from '../data/missing.js';
import { refreshSilences } from '../data/silences.js';
import { phone, useMedia } from '../parts/hooks.js';
import { SilenceDialog } from './silence.js';

const symbols = { bad: '✕', warning: '◆', unknown: '?' } as const;

const few = 4;
const fewOnPhone = 2;
const maxItems = 50;

/** What is wrong, each with its fix; what is critical is never folded away. Absent where there is nothing to say. */
export function AttentionList() {
  const [all, setAll] = useState(false);
  const [asked, setAsked] = useState<AttentionGroup | null>(null);
  const shown = useMedia(phone) ? fewOnPhone : few;
  const { open, notes, silenced } = attention.value;
  if (open.length + notes.length + silenced.length === 0) return null;
  const critical = open.filter(({ severity }) => severity === 'critical').length;
  const listed = all ? open : open.slice(0, Math.max(shown, critical));
  return (
    <section class={`attention${critical > 0 ? ' critical' : ''}`} aria-label="Needs attention">
      {open.length > 0 && (
        <h2>
          {severityText(open)}
          <span class="actions">
            <NotifyButton />
            {open.length > Math.max(shown, critical) && (
              <button type="button" class="link quiet" aria-expanded={all} onClick={() => setAll(!all)}>
                {all ? 'Show fewer' : `Show all ${open.length}`}
              </button>
            )}
          </span>
        </h2>
      )}
      {listed.length > 0 && (
        <ul>
          {listed.map((group) => (
            <Line key={group.cause} group={group} ask={isAdmin() ? () => setAsked(group) : null} />
          ))}
        </ul>
      )}
      <Folded label={`${plural(silenced.length, 'line')} acknowledged or silenced`} groups={silenced} />
      <Folded label={`${plural(notes.length, 'note')} about limits of hosts`} groups={notes} />
      {asked && <SilenceDialog group={asked} close={() => setAsked(null)} />}
    </section>
  );
}

const Folded = ({ label, groups }: { readonly label: string; readonly groups: readonly AttentionGroup[] }) =>
  groups.length === 0 ? null : (
    <details class="folded">
      <summary>{label}</summary>
      <ul>
        {groups.map((group) => (
          <Line key={`${group.cause} ${group.hives[0]}`} group={group} ask={null} />
        ))}
      </ul>
    </details>
  );

interface LineProps {
  readonly group: AttentionGroup | SilencedGroup;
  /** Opens the dialog that acknowledges it. */
  readonly ask: (() => void) | null;
}

function Line({ group, ask }: LineProps) {
  const [unfolded, setUnfolded] = useState(false);
  const { title, text, tone, items } = group;
  const silence = 'silence' in group ? group.silence : null;
  const isOne = items.length === 1;
  return (
    <li class={`tone-${silence === null ? tone : 'unknown'}`}>
      <span class="symbol" aria-hidden="true">
        {silence === null ? symbols[tone] : '–'}
      </span>
      <button
        type="button"
        class="link"
        {...(isOne ? {} : { 'aria-expanded': unfolded })}
        onClick={() => (isOne ? show(items[0]!.show) : setUnfolded(!unfolded))}
      >
        {title}
      </button>
      <span class="text">{silence === null ? text : silenceText(silence, formatMoment)}</span>
      {ask && (
        <button type="button" class="link quiet" onClick={ask}>
          Acknowledge<span class="sr-only"> {title}</span>
        </button>
      )}
      {silence !== null && isAdmin() && <Lift group={group as SilencedGroup} />}
      {unfolded && (
        <ul class="items">
          {items.slice(0, maxItems).map((item) => (
            <li key={item.id}>
              <button type="button" class="link" onClick={() => show(item.show)}>
                {item.title}
              </button>
            </li>
          ))}
          {items.length > maxItems && <li>and {items.length - maxItems} more</li>}
        </ul>
      )}
    </li>
  );
}

/** Lifts it wherever it holds: for one host after the other, or for the fleet. */
function Lift({ group }: { readonly group: SilencedGroup }) {
  const [busy, setBusy] = useState(false);
  const { cause, hives, silence } = group;
  const lift = async () => {
    setBusy(true);
    try {
      for (const hive of silence.hive === null ? [null] : hives) await client.unsilence({ cause, hive });
    } catch {
      // What could not be lifted stays in the list.
    }
    await refreshSilences().catch(() => undefined);
    setBusy(false);
  };
  return (
    <button type="button" class="link quiet" disabled={busy} onClick={() => void lift()}>
      Lift<span class="sr-only"> {group.title}</span>
    </button>
  );
}

export const NotifyButton = () =>
  canNotify ? (
    <button
      type="button"
      class="link quiet"
      aria-pressed={notifies.value}
      title="Shows a notification when something becomes critical, while this page is open"
      onClick={() => void setNotifies(!notifies.value)}
    >
      {notifies.value ? 'Notifications on' : 'Notify me'}
    </button>
  ) : null;
