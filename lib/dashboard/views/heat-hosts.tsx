import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { hiveGpusText } from '../../present/knowledge.js';
import { livenessStyles } from '../../present/status.js';
import { ended } from '../data/ended.js';
import { drawn, type Hive, hives } from '../data/fleet.js';
import type { HeatBlock, HeatLine, Place } from '../data/heat.js';
import { cellLook, cellText, hostCellsText } from '../data/heat-look.js';
import { show } from '../data/location.js';
import { cellHeight, cellWidth, paintCells, paletteOf, sizedContext } from '../parts/heat-paint.js';
import { StatusChip, statusNow } from '../parts/status-chip.js';
import { drawnTheme } from '../parts/theme.js';

/** Name of a host, and what is between two hosts. */
export const nameHeight = 20;
export const hostGap = 12;

export const cellId = ({ line, host, gpu }: Place) => `heat-${line}-${host}-${gpu}`;

export const lineHeight = ({ cellLines }: HeatLine) => nameHeight + cellLines * cellHeight + hostGap;

/** Where a host is in a block, and from where on its cells are. */
interface Spot {
  readonly hive: Hive | undefined;
  readonly line: number;
  readonly host: number;
  readonly left: number;
  readonly top: number;
  /** Of the cells, below its name. */
  readonly cellsHeight: number;
}

interface HeatHostsProps {
  readonly block: HeatBlock;
  readonly color: string;
  /** GPUs of a host beside each other. */
  readonly cells: number;
  readonly hostWidth: number;
  /** The GPU that the keys are at. */
  readonly marked: Place | null;
  readonly style: { readonly transform: string; readonly height: string };
}

/** Lines of hosts: their names are elements, their GPUs one picture that says to readers what it shows. */
export function HeatHosts({ block, color, cells, hostWidth, marked, style }: HeatHostsProps) {
  drawn.value;
  const spots = spotsOf(block, hostWidth + hostGap);
  const width = Math.max(...block.lines.map(({ hosts }) => hosts.length)) * (hostWidth + hostGap);
  const height = block.lines.reduce((sum, line) => sum + lineHeight(line), 0);
  const canvas = useCells(spots, { color, cells, width, height });
  const [over, setOver] = useState<Place | null>(null);
  const onMouseMove = (event: MouseEvent) => {
    const found = cellAt(spots, cells, event.offsetX, event.offsetY)?.place ?? null;
    if (found?.line !== over?.line || found?.host !== over?.host || found?.gpu !== over?.gpu) setOver(found);
  };
  const pointed = over === null ? undefined : spots.find(({ line, host }) => line === over.line && host === over.host);
  const gpu = pointed?.hive?.view.gpus[over?.gpu ?? -1];
  return (
    <div class="heat-block" role="presentation" style={style}>
      {/* The map itself takes the keys; a cell is only clicked. */}
      <canvas
        ref={canvas}
        class={gpu === undefined ? 'heat-cells' : 'heat-cells over'}
        role="presentation"
        style={{ width: `${width}px`, height: `${height}px` }}
        title={gpu && cellText(pointed!.hive!, gpu, statusNow)}
        onMouseMove={onMouseMove}
        onMouseLeave={() => setOver(null)}
        onClick={(event) => {
          const found = cellAt(spots, cells, event.offsetX, event.offsetY);
          if (found) show(`gpu:${found.view.id}/${found.view.gpus[found.place.gpu]!.uuid}`);
        }}
      />
      {spots.map(({ hive, line, host, left, top, cellsHeight }, index) => (
        <HeatHost
          key={index}
          hive={hive}
          color={color}
          left={left}
          top={top}
          height={nameHeight + cellsHeight}
          cells={cells}
          marked={marked?.line === line && marked.host === host ? marked : null}
        />
      ))}
      {gpu && <i class="heat-mark" aria-hidden="true" style={cellPlace(pointed!, cells, over!.gpu)} />}
    </div>
  );
}

function spotsOf({ first, lines }: HeatBlock, stride: number): Spot[] {
  let top = 0;
  return lines.flatMap((line, index) => {
    const lineTop = top;
    top += lineHeight(line);
    return line.hosts.map((id, host) => ({
      hive: hives.get(id),
      line: first + index,
      host,
      left: host * stride,
      top: lineTop,
      cellsHeight: line.cellLines * cellHeight,
    }));
  });
}

const cellPlace = ({ left, top }: { readonly left: number; readonly top: number }, cells: number, gpu: number) => ({
  left: `${left + (gpu % cells) * cellWidth + 1}px`,
  top: `${top + nameHeight + Math.floor(gpu / cells) * cellHeight + 1}px`,
});

/** The GPU at a point of a block. */
function cellAt(spots: readonly Spot[], cells: number, x: number, y: number) {
  const spot = spots.findLast(({ left, top }) => left <= x && top + nameHeight <= y);
  if (spot?.hive === undefined) return null;
  const column = Math.floor((x - spot.left) / cellWidth);
  const gpu = Math.floor((y - spot.top - nameHeight) / cellHeight) * cells + column;
  const { view } = spot.hive;
  return column < cells && gpu < view.gpus.length ? { view, place: { line: spot.line, host: spot.host, gpu } } : null;
}

interface CellsLook {
  readonly color: string;
  readonly cells: number;
  readonly width: number;
  readonly height: number;
}

/** A canvas with the GPUs of hosts, of which only those are drawn again that brought something new. */
function useCells(spots: readonly Spot[], { color, cells, width, height }: CellsLook) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const before = useRef<{ readonly look: string; readonly spots: readonly Spot[] } | null>(null);
  const theme = drawnTheme.value;
  const look = [color, cells, width, height, theme, ended.value, window.devicePixelRatio].join(' ');
  useLayoutEffect(() => {
    const kept =
      before.current?.look === look && before.current.spots.length === spots.length ? before.current.spots : [];
    const changed = spots.filter(({ hive, left, top }, index) => {
      const old = kept[index];
      return old === undefined || old.hive !== hive || old.left !== left || old.top !== top;
    });
    const context = changed.length === 0 || !canvas.current ? null : sizedContext(canvas.current, width, height);
    if (!context) return;
    if (changed.length === spots.length) context.clearRect(0, 0, width, height);
    const palette = paletteOf(theme);
    for (const { hive, left, top, cellsHeight } of changed) {
      const y = top + nameHeight;
      context.clearRect(left, y, cells * cellWidth, cellsHeight);
      if (hive === undefined || hiveGpusText(hive.view) !== null) continue;
      const looks = hive.view.gpus.map((gpu) => cellLook(hive, gpu, color, statusNow));
      paintCells(context, looks, { left, top: y, perLine: cells }, palette, hive.view.liveness === 'offline');
    }
    before.current = { look, spots };
  });
  return canvas;
}

interface HeatHostProps {
  readonly hive: Hive | undefined;
  readonly color: string;
  readonly left: number;
  readonly top: number;
  readonly height: number;
  readonly cells: number;
  /** Where the keys are on this host. */
  readonly marked: Place | null;
}

/** A host whose heartbeat brought nothing new is not drawn again. */
function HeatHost({ hive, color, left, top, height, cells, marked }: HeatHostProps) {
  const isEnded = ended.value;
  return useMemo(
    () => (
      <div
        class={`heat-host${hive?.view.liveness === 'offline' ? ' stale' : ''}`}
        role="row"
        aria-label={hive?.view.id ?? 'gone'}
        style={{ transform: `translate(${left}px, ${top}px)`, height: `${height}px` }}
      >
        {hive && <HostName hive={hive} />}
        {hive && <HostCells hive={hive} color={color} />}
        {hive && marked && <Mark hive={hive} place={marked} cells={cells} />}
      </div>
    ),
    [hive, color, left, top, height, cells, marked, isEnded],
  );
}

interface MarkProps {
  readonly hive: Hive;
  readonly place: Place;
  readonly cells: number;
}

/** The cell that the keys are at, as an element of its own. */
function Mark({ hive, place, cells }: MarkProps) {
  const gpu = hive.view.gpus[place.gpu];
  if (gpu === undefined) return null;
  return (
    <div
      id={cellId(place)}
      role="gridcell"
      class="heat-mark"
      aria-selected={true}
      aria-label={cellText(hive, gpu, statusNow)}
      style={cellPlace({ left: 0, top: 0 }, cells, place.gpu)}
    />
  );
}

function HostName({ hive: { view } }: { readonly hive: Hive }) {
  return (
    <div role="rowheader" class="heat-name">
      <button type="button" class="link name" tabIndex={-1} onClick={() => show(`hive:${view.id}`)}>
        {view.id}
      </button>
      {view.liveness !== 'online' && <StatusChip status={livenessStyles[view.liveness]} plain />}
    </div>
  );
}

function HostCells({ hive, color }: { readonly hive: Hive; readonly color: string }) {
  const absence = hiveGpusText(hive.view);
  if (absence !== null)
    return (
      <div role="gridcell" class="heat-none" title={absence.reason ?? undefined}>
        {absence.text}
      </div>
    );
  return <div role="gridcell" class="heat-said" aria-label={hostCellsText(hive, color, statusNow)} />;
}
