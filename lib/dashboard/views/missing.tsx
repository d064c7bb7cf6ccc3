import { useState } from 'preact/hooks';
import { type FieldTable, placed } from '../../contract/fields/field.js';
import { gpuFields } from '../../contract/fields/gpu.js';
import { hostFields } from '../../contract/fields/host.js';
import { workerFields } from '../../contract/fields/worker.js';
import type { Missing, MissingKind } from '../../contract/missing.js';
import { missingShown } from '../../present/attention.js';
import { goneStyle, hasEnded, missingForText, missingName, missingReasonText } from '../../present/missing.js';
import { formatMoment } from '../../present/moment.js';
import { hasWords, labelTexts, wordsOf } from '../../present/search.js';
import { plural, sentence } from '../../present/sentences.js';
import { formatGib, formatGibOf } from '../../present/units.js';
import { memoryOf } from '../../present/worker-figures.js';
import { drawn } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { forget, isAdmin, missing, missingMsOf } from '../data/missing.js';
import { Confirm } from '../parts/confirm.js';
import { StatusLabel } from '../parts/status-chip.js';
import { fieldRows, Labels, RowList } from './panel-parts.js';

const maxShown = 200;
const textOf = (item: Missing): readonly unknown[] => [
  item.key,
  missingName(item),
  goneStyle(item).word,
  missingReasonText(item),
  item.kind === 'worker' ? item.last.model : item.kind === 'gpu' ? item.last.name : item.last.hostname,
  ...(item.kind === 'gpu' ? [] : labelTexts(item.last.labels)),
];

/** What it held last, in a few words. */
function lastText(item: Missing): string {
  if (item.kind === 'hive')
    return `${plural(item.last.gpus.length, 'GPU')}, ${plural(item.last.workerCount, 'worker')}`;
  if (item.kind === 'gpu') return item.last.name ?? 'GPU';
  return [item.last.model, memoryOf(item.last) === null ? null : formatGib(memoryOf(item.last))]
    .filter(Boolean)
    .join(', ');
}

/** GPUs of a host that is missing itself are a part of its row. */
const isPartOfMissing = ({ kind, reason }: Missing): boolean => kind === 'gpu' && reason !== 'notReported';

/** `57 min 51 s ago`, `for 12 min 03 s: its host is missing` */
function goneText(item: Missing): string {
  const lasting = missingForText(missingMsOf(item)).replace('missing for ', '');
  return hasEnded(item) ? `${lasting} ago` : `for ${lasting}: ${missingReasonText(item)}`;
}

/** `2 missing, 12 ended` */
function titleOf(found: readonly Missing[]): string {
  const ended = found.filter(hasEnded).length;
  const gone = found.length - ended;
  return [gone > 0 && `${gone} missing`, ended > 0 && `${ended} ended`].filter(Boolean).join(', ');
}

/** Below the hives or the workers of now: those that were seen and are gone. Nothing where there are none. */
export function MissingList({ kinds }: { readonly kinds: readonly MissingKind[] }) {
  const [asked, setAsked] = useState<Missing | null>(null);
  drawn.value;
  const words = wordsOf(at.q.value);
  const hive = kinds.includes('worker') ? at.hive.value : '';
  const found = missing.value.filter(
    (item) =>
      kinds.includes(item.kind) &&
      !isPartOfMissing(item) &&
      (hive === '' || item.hive === hive) &&
      hasWords(words, textOf(item)),
  );
  if (found.length === 0) return null;
  return (
    <section class="missing" aria-labelledby="missing-title">
      <h2 id="missing-title">{titleOf(found)}</h2>
      <ul>
        {found.slice(0, maxShown).map((item) => (
          <li key={`${item.kind}:${item.hive}:${item.key}`}>
            <StatusLabel status={goneStyle(item)} />
            <button type="button" class="link" onClick={() => show(missingShown(item))}>
              {missingName(item)}
            </button>
            <span class="text">{goneText(item)}</span>
            <small>{lastText(item)}</small>
            {isAdmin() && (
              <button type="button" class="link quiet" onClick={() => setAsked(item)}>
                Forget<span class="sr-only"> {missingName(item)}</span>
              </button>
            )}
          </li>
        ))}
      </ul>
      {asked && <ForgetDialog item={asked} close={() => setAsked(null)} />}
    </section>
  );
}

const ForgetDialog = ({ item, close }: { readonly item: Missing; readonly close: () => void }) => (
  <Confirm title={`Forget ${missingName(item)}?`} action="Forget" run={() => forget(item)} close={close}>
    <p>
      Its last values are deleted for everyone. {item.kind === 'hive' && 'So are those of its GPUs and workers. '}
      If it comes back, it is shown again.
    </p>
  </Confirm>
);

const Section = ({ title, rows }: { readonly title: string; readonly rows: Parameters<typeof RowList>[0]['rows'] }) =>
  rows.length === 0 ? null : (
    <>
      <h3>{title.charAt(0).toUpperCase() + title.slice(1)}</h3>
      <RowList rows={rows} />
    </>
  );

const tables: Readonly<Record<MissingKind, FieldTable>> = { hive: hostFields, gpu: gpuFields, worker: workerFields };

/** All that it said last, section by section of the table of fields. */
export function MissingPanel({ item }: { readonly item: Missing }) {
  const [asked, setAsked] = useState(false);
  const table = tables[item.kind];
  const values = item.kind === 'hive' ? item.last.host : item.last;
  const sections = [...new Set(placed(table, 'panel').map(({ spec }) => spec.section))];
  return (
    <div class="panel-body missing-panel">
      <header>
        <h2>{missingName(item)}</h2>
        <p class="sub">
          <StatusLabel status={goneStyle(item)} />
          <span>since {formatMoment(item.since)}</span>
        </p>
      </header>
      <p class="note old">{sentence(missingReasonText(item))} These are its last values.</p>
      {isAdmin() && (
        <p>
          <button type="button" class="button" onClick={() => setAsked(true)}>
            Forget it
          </button>
        </p>
      )}
      {item.kind === 'hive' && (
        <RowList
          rows={[
            ['Hostname', item.last.hostname],
            ['Address', item.last.address ?? '—'],
            ['GPUs', String(item.last.gpus.length)],
            ['Workers', String(item.last.workerCount)],
            ['Labels', <Labels key="l" labels={item.last.labels} />],
          ]}
        />
      )}
      {item.kind === 'gpu' && (
        <RowList rows={[['VRAM', formatGibOf(item.last.memoryUsedBytes, item.last.memoryTotalBytes)]]} />
      )}
      {sections.map((section) => (
        <Section key={section} title={section} rows={fieldRows(table, section, values)} />
      ))}
      {asked && (
        <ForgetDialog
          item={item}
          close={() => {
            setAsked(false);
            if (!missing.value.includes(item)) go({ show: '' }, 'step');
          }}
        />
      )}
    </div>
  );
}
