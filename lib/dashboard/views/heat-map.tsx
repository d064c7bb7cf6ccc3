import type { RefObject } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { hiveGpusText } from '../../present/knowledge.js';
import { oldValuesText } from '../../present/sentences.js';
import { gpuHealthStyles, gpuStyle, livenessStyles } from '../../present/status.js';
import { formatCelsius, formatGibOf, formatPercent } from '../../present/units.js';
import { ended } from '../data/ended.js';
import { drawn, type Hive, hives } from '../data/fleet.js';
import type { HiveGroup } from '../data/fleet-rows.js';
import {
  type HeatLine,
  heatLegend,
  heatLevel,
  heatLines,
  heats,
  heatValue,
  isHeat,
  moveHeat,
  type Place,
} from '../data/heat.js';
import { at, go, show } from '../data/location.js';
import { holdsWhileOver } from '../data/still.js';
import { Sign } from '../parts/meter.js';
import { StatusChip, statusNow } from '../parts/status-chip.js';
import { offsetsOf, Virtual } from '../parts/virtual.js';

const cellWidth = 28;
const cellHeight = 22;
const maxCells = 8;
/** Name of the host, and what is between two hosts. */
const nameHeight = 20;
const hostGap = 12;
const leastHostWidth = 116;
const headingHeight = 32;

/** What colours the cells, `state` too. */
export function HeatChoice() {
  const value = at.color.value;
  const options = [...Object.entries(heats).map(([name, { label }]) => [name, label]), ['state', 'State']];
  return (
    <label class="pick">
      <span class="sr-only">Colour</span>
      <select value={value} onChange={(event) => go({ color: event.currentTarget.value })}>
        {options.map(([name, label]) => (
          <option key={name} value={name}>
            {`Colour: ${label}`}
          </option>
        ))}
      </select>
    </label>
  );
}

function Legend({ color }: { readonly color: string }) {
  return (
    <p class="heat-legend legend">
      {isHeat(color)
        ? heatLegend(color).map((text, index) => (
            <span key={text}>
              <i class={`heat-sample heat-${index + 1}`} aria-hidden="true" /> {text}
            </span>
          ))
        : Object.values({ ...gpuHealthStyles, offline: livenessStyles.offline }).map(({ word, symbol, tone }) => (
            <Sign key={word} symbol={symbol} tone={tone}>
              {word}
            </Sign>
          ))}
      {isHeat(color) && (
        <span>
          <i class="heat-sample hatched" aria-hidden="true" /> not known
        </span>
      )}
    </p>
  );
}

interface HeatMapProps {
  readonly groups: readonly HiveGroup[];
  readonly width: number;
  readonly scroller: RefObject<HTMLElement>;
}

const gpusOf = (id: string) => (hives.get(id)?.view.gpus ?? []).length;
const isArrow = (key: string): key is Parameters<typeof moveHeat>[3] => /^Arrow(Left|Right|Up|Down)$/.test(key);

/** One cell for each GPU: a number or a symbol, and a colour that says the same. */
export function HeatMap({ groups, width, scroller }: HeatMapProps) {
  const [place, setPlace] = useState<Place | null>(null);
  const color = at.color.value;
  const most = groups.reduce((top, { views }) => Math.max(top, ...views.map(({ gpus }) => gpus.length)), 1);
  const cells = Math.min(maxCells, most, Math.max(1, Math.floor(width / cellWidth)));
  const hostWidth = Math.max(leastHostWidth, cells * cellWidth) + hostGap;
  const perLine = Math.max(1, Math.floor((width + hostGap) / hostWidth));
  const lines = useMemo(() => {
    const hosts = groups.map(({ name, text, views }) => ({
      name,
      text,
      hosts: views.map(({ id, gpus }) => ({ id, gpus: gpus.length })),
    }));
    return heatLines(hosts, perLine, cells);
  }, [groups, perLine, cells]);
  const heightOf = ({ heading, cellLines }: HeatLine) =>
    heading === null ? nameHeight + cellLines * cellHeight + hostGap : headingHeight;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && place !== null) {
      const id = lines[place.line]?.hosts[place.host];
      const gpu = id === undefined ? undefined : hives.get(id)?.view.gpus[place.gpu];
      if (gpu) show(`gpu:${id}/${gpu.uuid}`);
    } else if (isArrow(event.key)) {
      event.preventDefault();
      const from = place ?? { line: 0, host: -1, gpu: 0 };
      setPlace(moveHeat(lines, gpusOf, from, place === null ? 'ArrowRight' : event.key));
    }
  };
  return (
    <>
      <Legend color={color} />
      <div
        class="heat-map"
        role="grid"
        aria-label="GPUs by host"
        tabIndex={0}
        aria-activedescendant={place === null ? undefined : cellId(place)}
        style={{ '--cells': cells, '--host-width': `${hostWidth - hostGap}px` }}
        onKeyDown={onKeyDown}
        onMouseOver={nameCell}
        {...holdsWhileOver}
      >
        <Virtual
          offsets={offsetsOf(lines.map(heightOf))}
          scroller={scroller}
          reveal={place?.line ?? -1}
          row={(index, style, slot) => {
            const { heading, hosts } = lines[index]!;
            if (heading !== null)
              return (
                <div key={slot} class="group-heading" role="row" style={style}>
                  <div role="gridcell">
                    <strong>{heading.name}</strong> <small>{heading.text}</small>
                  </div>
                </div>
              );
            return (
              <div key={slot} class="heat-line" role="presentation" style={style}>
                {hosts.map((id, host) => (
                  <HeatHost
                    key={host}
                    id={id}
                    color={color}
                    line={index}
                    host={host}
                    marked={place?.line === index && place.host === host ? place.gpu : -1}
                  />
                ))}
              </div>
            );
          }}
        />
      </div>
    </>
  );
}

/** What a cell says, for the mouse: set where it is, since there are thousands of them. */
function nameCell({ target }: MouseEvent): void {
  const cell = (target as Element).closest<HTMLElement>('.heat-cell');
  if (cell !== null) cell.title = cell.getAttribute('aria-label') ?? '';
}

const cellId = ({ line, host, gpu }: Place) => `heat-${line}-${host}-${gpu}`;

interface HeatHostProps {
  readonly id: string;
  readonly color: string;
  readonly line: number;
  readonly host: number;
  /** The GPU that the keys are at; -1: none of this host. */
  readonly marked: number;
}

/** A host whose heartbeat brought nothing new is not drawn again. */
function HeatHost({ id, color, line, host, marked }: HeatHostProps) {
  drawn.value;
  const hive = hives.get(id);
  const isEnded = ended.value;
  return useMemo(
    () => <HeatCells id={id} hive={hive} color={color} line={line} host={host} marked={marked} />,
    [id, hive, color, line, host, marked, isEnded],
  );
}

function HeatCells({ id, hive, color, line, host, marked }: HeatHostProps & { readonly hive: Hive | undefined }) {
  if (hive === undefined) return <div class="heat-host" role="row" />;
  const { view } = hive;
  const absence = hiveGpusText(view);
  return (
    <div class={`heat-host${view.liveness === 'offline' ? ' stale' : ''}`} role="row" aria-label={id}>
      <div role="rowheader" class="heat-name">
        <button type="button" class="link name" tabIndex={-1} onClick={() => show(`hive:${id}`)}>
          {id}
        </button>
        {view.liveness !== 'online' && <StatusChip status={livenessStyles[view.liveness]} plain />}
      </div>
      {absence !== null && (
        <div role="gridcell" class="heat-none" title={absence.reason ?? undefined}>
          {absence.text}
        </div>
      )}
      {view.gpus.map((gpu, index) => (
        <HeatCell
          // By its place, so that scrolling makes no elements.
          key={index}
          cell={cellId({ line, host, gpu: index })}
          hive={hive}
          gpu={gpu}
          color={color}
          isMarked={index === marked}
        />
      ))}
    </div>
  );
}

interface HeatCellProps {
  readonly cell: string;
  readonly hive: Hive;
  readonly gpu: Hive['view']['gpus'][number];
  readonly color: string;
  readonly isMarked: boolean;
}

function HeatCell({ cell, hive, gpu, color, isMarked }: HeatCellProps) {
  const { id, liveness } = hive.view;
  const status = statusNow(gpuStyle({ health: gpu.health, liveness }));
  const value = isHeat(color) ? heatValue(color, { gpu }) : null;
  const said = [
    `GPU ${gpu.index} of ${id}: ${status.word}`,
    ...(liveness === 'online' ? [] : [oldValuesText(liveness)]),
    `utilization ${gpu.utilizationPercent === null ? 'unknown' : formatPercent(gpu.utilizationPercent)}`,
    `VRAM ${gpu.memoryUsedBytes === null ? 'unknown' : formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}`,
    `temperature ${gpu.temperatureCelsius === null ? 'unknown' : formatCelsius(gpu.temperatureCelsius)}`,
  ].join(', ');
  const look = !isHeat(color)
    ? `tone-${status.tone} heat-state`
    : value === null
      ? 'hatched'
      : `heat-${heatLevel(color, value)}`;
  return (
    // The map itself takes the keys; a cell is only clicked.
    // biome-ignore lint/a11y/useKeyWithClickEvents: arrow keys and Enter are handled by the map
    <div
      id={cell}
      role="gridcell"
      class={`heat-cell ${look}${isMarked ? ' marked' : ''}`}
      aria-label={said}
      aria-selected={isMarked}
      onClick={() => show(`gpu:${id}/${gpu.uuid}`)}
    >
      {isHeat(color) && value !== null ? value.toFixed(0) : status.symbol}
    </div>
  );
}
