import type { ComponentChildren } from 'preact';
import { type FieldTable, type PanelOfField, placed, valueAt } from '../../contract/fields/field.js';
import type { Fault } from '../../contract/heartbeat.js';
import { formatField } from '../../present/format-field.js';
import { type AbsenceText, absenceLine } from '../../present/knowledge.js';
import type { NullText, UnknownValues } from '../../present/null-text.js';
import { sentence } from '../../present/sentences.js';
import { faultSeverity, severityRank } from '../../present/severity.js';
import { formatPercent, unknownText } from '../../present/units.js';
import { show } from '../data/location.js';
import { Meter } from '../parts/meter.js';

type FactRow = readonly [label: string, value: ComponentChildren];

export function RowList({ rows }: { readonly rows: readonly FactRow[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const faultSymbols = { critical: '✕', warning: '◆', note: '–' } as const;

const worstFirst = (faults: readonly Fault[]): Fault[] =>
  [...faults].sort((a, b) => severityRank(faultSeverity(a.code)) - severityRank(faultSeverity(b.code)));

export function Faults({ faults }: { readonly faults: readonly Fault[] }) {
  if (faults.length === 0) return null;
  return (
    <ul class="faults">
      {worstFirst(faults).map((fault) => (
        <li
          key={`${fault.code}${fault.workerId ?? ''}${fault.gpuUuid ?? ''}${fault.field ?? ''}`}
          class={faultSeverity(fault.code)}
        >
          <span class="symbol" aria-hidden="true">
            {faultSymbols[faultSeverity(fault.code)]}
          </span>
          <span>
            {sentence(fault.message)} <small>{fault.code}</small>
          </span>
        </li>
      ))}
    </ul>
  );
}

export function LinkTo({ to, children }: { readonly to: string; readonly children: ComponentChildren }) {
  return (
    <button type="button" class="link" onClick={() => show(to)}>
      {children}
    </button>
  );
}

export function Labels({ labels }: { readonly labels: Readonly<Record<string, string>> }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return <>none</>;
  return (
    <>
      {entries.map(([key, value]) => (
        <span key={key} class="label-chip">
          {key}={value}
        </span>
      ))}
    </>
  );
}

/** A percentage as a bar with its value; a warning from `bad` on. */
export function PercentBar({ value, bad }: { readonly value: number | null; readonly bad: number }) {
  return (
    <span class="percent-bar">
      <Meter value={value} max={100} tone={value !== null && value >= bad ? 'warning' : 'active'} />
      {formatPercent(value)}
    </span>
  );
}

/** What a row says of a value; a device that can't have it is distinguished from a value that is not known now. */
function fieldValue(spec: PanelOfField, value: unknown, nullText: NullText | null): ComponentChildren {
  if (value === null && nullText?.unknown === false) return nullText.text;
  if (spec.barWarn !== undefined) return <PercentBar value={value as number | null} bad={spec.barWarn} />;
  if (value === null) return unknownText;
  if (spec.ifEmpty !== undefined && Array.isArray(value) && value.length === 0) return spec.ifEmpty;
  const text = spec.words?.[String(value)] ?? `${formatField(spec.format, value)}${spec.after ?? ''}`;
  return spec.code ? <code>{text}</code> : text;
}

/** Rows for values that are not known, and why. */
export const unknownRows = (values: readonly UnknownValues[]): readonly FactRow[] =>
  values.map(({ labels, reason }) => [`Not known: ${labels}`, sentence(reason)]);

/**
 * The rows that a table of fields has in one section of a panel; `nullText` says what null means, `drawn` holds what a
 * format does not say.
 */
export function fieldRows(
  table: FieldTable,
  section: string,
  item: object,
  drawn: Readonly<Record<string, ComponentChildren>> = {},
  nullText: (path: string) => NullText | null = () => null,
): readonly FactRow[] {
  const values = item as Readonly<Record<string, unknown>>;
  return placed(table, 'panel').flatMap(({ name, spec }): readonly FactRow[] => {
    const value = valueAt(values, name);
    if (spec.section !== section || (value === null && spec.omitNull)) return [];
    if (spec.parts !== undefined)
      return Object.entries(spec.parts).map(([part, { label, barWarn }]) => [
        label,
        <PercentBar key={part} value={(value as Readonly<Record<string, number | null>>)[part]!} bad={barWarn} />,
      ]);
    return [[spec.label, drawn[name] ?? fieldValue(spec, value, value === null ? nullText(name) : null)]];
  });
}

/** That an item has no GPU, or, as a warning, that it is not known; nothing where its GPUs are shown. */
export const AbsenceNote = ({ absence }: { readonly absence: AbsenceText | null }) =>
  absence === null ? null : <p class={absence.unknown ? 'note' : 'plain note'}>{`${absenceLine(absence)}.`}</p>;
