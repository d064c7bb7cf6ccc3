import { useState } from 'preact/hooks';
import type { HiveView } from '../../contract/api.js';
import { formatMoment } from '../../present/moment.js';
import { cordonedStyle } from '../../present/status.js';
import { client } from '../data/client.js';
import { isAdmin } from '../data/missing.js';
import { Confirm } from '../parts/confirm.js';
import { ChoiceField, TextField } from '../parts/fields.js';
import { StatusChip } from '../parts/status-chip.js';

const hours = [
  ['', 'until it is uncordoned'],
  ['3600', '1 hour'],
  ['86400', '24 hours'],
  ['604800', '7 days'],
] as const;

/** What only the host itself may do. */
const hostCommands = [
  ['Drain it on the host itself', 'hivepulse drain'],
  ['Release the GPU driver for a reset', 'hivepulse release-gpus 60'],
] as const;

export const CordonChip = ({ view }: { readonly view: HiveView }) =>
  view.cordon === undefined ? null : <StatusChip status={{ ...cordonedStyle, hint: view.cordon.reason }} />;

/** Who cordoned it, why and until when, the button that does or undoes it, and what is to be typed on the host. */
export function CordonSection({ view }: { readonly view: HiveView }) {
  const [asked, setAsked] = useState(false);
  const { cordon } = view;
  const close = () => setAsked(false);
  return (
    <>
      <h3>Scheduling</h3>
      {cordon === undefined ? (
        <p>Takes new work while it is online and ready.</p>
      ) : (
        <p class="note">
          Cordoned{cordon.by !== null && ` by ${cordon.by}`} since {formatMoment(cordon.since)}
          {cordon.expiresAt !== null && `, until ${formatMoment(cordon.expiresAt)}`}: {cordon.reason}
        </p>
      )}
      {isAdmin() && (
        <p class="actions">
          <button type="button" class="button" onClick={() => setAsked(true)}>
            {cordon === undefined ? 'Cordon' : 'Uncordon'}
          </button>
        </p>
      )}
      <p class="hint">On {view.hostname} only:</p>
      <ul class="commands">
        {hostCommands.map(([what, command]) => (
          <li key={command}>
            <span>{what}</span>
            <CopyCommand command={command} />
          </li>
        ))}
      </ul>
      {asked &&
        (cordon === undefined ? <Cordon id={view.id} close={close} /> : <Uncordon id={view.id} close={close} />)}
    </>
  );
}

/** A command with a button that copies it; where the browser forbids that the text can be marked. */
export function CopyCommand({ command }: { readonly command: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      setCopied(true);
    } catch {
      setCopied(false);
    }
  };
  return (
    <span class="copy">
      <code>{command}</code>
      <button type="button" class="link quiet" onClick={copy} aria-label={`Copy ${command}`}>
        {copied ? 'Copied' : 'Copy'}
      </button>
    </span>
  );
}

function Cordon({ id, close }: { readonly id: string; readonly close: () => void }) {
  const [reason, setReason] = useState('');
  const [by, setBy] = useState('');
  const [seconds, setSeconds] = useState<(typeof hours)[number][0]>('');
  const run = async () => {
    await client.cordon(id, {
      reason: reason.trim(),
      ...(by.trim() === '' ? {} : { by: by.trim() }),
      ...(seconds === '' ? {} : { expiresInSeconds: Number(seconds) }),
    });
  };
  return (
    <Confirm title={`Cordon ${id}?`} action="Cordon" run={run} close={close}>
      <p>Nothing new is placed there and no request is sent there. Its workers keep running.</p>
      <TextField label="Reason" maxLength={256} value={reason} set={setReason} />
      <TextField label="Your name" maxLength={128} required={false} value={by} set={setBy} />
      <ChoiceField label="For" choices={hours} value={seconds} set={setSeconds} />
    </Confirm>
  );
}

const Uncordon = ({ id, close }: { readonly id: string; readonly close: () => void }) => (
  <Confirm title={`Uncordon ${id}?`} action="Uncordon" run={() => client.uncordon(id)} close={close}>
    <p>New workers and requests may go there again.</p>
  </Confirm>
);
