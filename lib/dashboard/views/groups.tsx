import { useMemo } from 'preact/hooks';
import type { HiveView } from '../../contract/api.js';
import { plural } from '../../present/sentences.js';
import { bytesOfWhole, formatPercent } from '../../present/units.js';
import { hives, membership } from '../data/fleet.js';
import { heardGpuTotals, labelKeysOf } from '../data/fleet-rows.js';
import { at, go } from '../data/location.js';

/** `12 hives, 48 GPUs, 63 % busy, 2.1 TiB of 3.8 TiB VRAM`: what a group has. */
export function groupText(views: readonly HiveView[]): string {
  const { utilizationPercent, usedBytes, totalBytes } = heardGpuTotals(views);
  const gpus = views.reduce((total, view) => total + view.gpus.length, 0);
  const vram = bytesOfWhole(usedBytes, totalBytes);
  return [
    plural(views.length, 'hive'),
    ...(gpus === 0 ? [] : [plural(gpus, 'GPU')]),
    ...(utilizationPercent === null ? [] : [`${formatPercent(utilizationPercent)} busy`]),
    ...(usedBytes === null ? [] : [`${vram.part} of ${vram.whole} VRAM`]),
  ].join(', ');
}

/** By what hosts or GPUs are grouped. */
export function GroupChoice() {
  const labels = useMemo(() => labelKeysOf(Array.from(hives.values(), ({ view }) => view)), [membership.value]);
  const value = at.group.value;
  const options = [
    ['', 'Not grouped'],
    ['gpu', 'By GPU kind'],
    ['model', 'By model'],
    ...labels.map((key) => [`label:${key}`, `By label ${key}`]),
  ];
  return (
    <label class="pick">
      <span class="sr-only">Group</span>
      <select value={value} class={value ? 'set' : ''} onChange={(event) => go({ group: event.currentTarget.value })}>
        {value !== '' && !options.some(([each]) => each === value) && <option value={value}>{value}</option>}
        {options.map(([each, label]) => (
          <option key={each} value={each}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
