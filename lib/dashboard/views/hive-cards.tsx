import type { RefObject } from 'preact';
import { useMemo } from 'preact/hooks';
import type { HiveView, Liveness } from '../../contract/api.js';
import type { GpuSample } from '../../contract/heartbeat.js';
import { containerText } from '../../present/container.js';
import { gpuSummary } from '../../present/gpu-names.js';
import { cpusOf, usedMemoryOf } from '../../present/host-figures.js';
import { type AbsenceText, hiveGpusText, missingWorkersText } from '../../present/knowledge.js';
import { oldValuesText, plural, sentence } from '../../present/sentences.js';
import {
  gpuHealthStyles,
  gpuStyle,
  hiveStateStyles,
  livenessStyles,
  styleOf,
  workerStateStyles,
} from '../../present/status.js';
import {
  formatAge,
  formatCelsius,
  formatCores,
  formatCount,
  formatGibOf,
  formatPercent,
  formatWatts,
  unknownText,
} from '../../present/units.js';
import { ended } from '../data/ended.js';
import { ageOf, drawn, type Hive, hives, workersOf } from '../data/fleet.js';
import type { HiveGroup } from '../data/fleet-rows.js';
import { go, show } from '../data/location.js';
import { fullness, Meter } from '../parts/meter.js';
import { StatusChip, statusNow } from '../parts/status-chip.js';
import { offsetsOf, Virtual } from '../parts/virtual.js';
import { CordonChip } from './cordon.js';

const minCardWidth = 420;
const gap = 12;
const headingHeight = 32;
/** Heights that the style sheet gives: head, host, foot and paddings; what the container has; heading of the GPUs; one GPU. */
const frameHeight = 126;
const insideHeight = 20;
const gpuHeadHeight = 22;
const gpuRowHeight = 24;

const cardHeight = (view: HiveView) =>
  frameHeight +
  (containerText(view.host) === null ? 0 : insideHeight) +
  (hiveGpusText(view) === null ? gpuHeadHeight + view.gpus.length * gpuRowHeight : gpuRowHeight);

/** Each card goes below the shortest column, so that the most urgent stay on top and no space is left between cards. */
function stackUp(found: readonly HiveView[], columns: number): HiveView[][] {
  const stacks = Array.from({ length: columns }, () => ({ hives: [] as HiveView[], height: 0 }));
  for (const hive of found) {
    const shortest = stacks.reduce((least, stack) => (stack.height < least.height ? stack : least));
    shortest.hives.push(hive);
    shortest.height += cardHeight(hive) + gap;
  }
  return stacks.map(({ hives }) => hives);
}

interface CardsProps {
  readonly groups: readonly HiveGroup[];
  readonly width: number;
  readonly scroller: RefObject<HTMLElement>;
}

export function HiveCards({ groups, width, scroller }: CardsProps) {
  const columns = Math.max(1, Math.floor((width + gap) / (minCardWidth + gap)));
  const grid = { gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` };
  const only = groups.length === 1 && groups[0]!.name === '' ? groups[0]! : null;
  if (only === null) return <CardLines groups={groups} columns={columns} grid={grid} scroller={scroller} />;
  return (
    <div class="card-columns" style={grid}>
      {stackUp(only.views, columns).map((stack, column) => (
        <Virtual
          key={column}
          offsets={offsetsOf(stack.map((hive) => cardHeight(hive) + gap))}
          scroller={scroller}
          row={(index, style, slot) => (
            <div key={slot} class="card-row" style={style}>
              <HiveCard id={stack[index]!.id} />
            </div>
          )}
        />
      ))}
    </div>
  );
}

type Line = { readonly heading: HiveGroup } | { readonly views: readonly HiveView[] };

/** Groups below each other: a heading, then lines of cards. */
function linesOf(groups: readonly HiveGroup[], columns: number): Line[] {
  return groups.flatMap((group): Line[] => [
    { heading: group },
    ...Array.from({ length: Math.ceil(group.views.length / columns) }, (_, line) => ({
      views: group.views.slice(line * columns, (line + 1) * columns),
    })),
  ]);
}

interface CardLinesProps extends Omit<CardsProps, 'width'> {
  readonly columns: number;
  readonly grid: { readonly gridTemplateColumns: string };
}

function CardLines({ groups, columns, grid, scroller }: CardLinesProps) {
  const lines = linesOf(groups, columns);
  const heightOf = (line: Line) => ('heading' in line ? headingHeight : Math.max(...line.views.map(cardHeight)) + gap);
  return (
    <Virtual
      offsets={offsetsOf(lines.map(heightOf))}
      scroller={scroller}
      row={(index, style, slot) => {
        const line = lines[index]!;
        if ('heading' in line)
          return (
            <h3 key={slot} class="group-heading" style={style}>
              <strong>{line.heading.name}</strong> <small>{line.heading.text}</small>
            </h3>
          );
        return (
          <div key={slot} class="card-columns card-line" style={{ ...style, ...grid }}>
            {line.views.map(({ id }) => (
              <div key={id} class="card-row">
                <HiveCard id={id} />
              </div>
            ))}
          </div>
        );
      }}
    />
  );
}

function NoGpus({ absence: { text, reason, unknown } }: { readonly absence: AbsenceText }) {
  return (
    <p class="no-gpu" title={reason === null ? undefined : sentence(reason)}>
      {unknown ? <span class="status tone-warning plain">{`? GPUs ${text}: ${reason}`}</span> : 'No GPU on this host'}
    </p>
  );
}

/** A card whose host brought nothing new is not drawn again, but for its age. */
export function HiveCard({ id }: { readonly id: string }) {
  drawn.value;
  const hive = hives.get(id);
  const isEnded = ended.value;
  // An event may remove a worker of a host that is silent.
  const workerCount = hive === undefined ? 0 : workersOf(id).length;
  return useMemo(
    () => (hive === undefined ? <article class="card" /> : <CardOf hive={hive} />),
    [hive, isEnded, workerCount],
  );
}

function CardAge({ id }: { readonly id: string }) {
  drawn.value;
  const hive = hives.get(id);
  return (
    <span class="age" title="Since the queen heard its last heartbeat">
      <span class="sr-only">last heartbeat </span>
      {hive === undefined ? unknownText : formatAge(ageOf(hive))}
      <span class="sr-only"> ago</span>
    </span>
  );
}

function CardOf({ hive: { view } }: { readonly hive: Hive }) {
  const { id, host, liveness } = view;
  const stale = liveness === 'offline';
  const usedMemory = usedMemoryOf(host);
  const workers = workersOf(id);
  const absence = hiveGpusText(view, view.collection.gpuAgeMs);
  const missing = missingWorkersText(view);
  const stateStyle = styleOf(hiveStateStyles, view.state);
  const inside = containerText(host);
  return (
    <article class={`card${stale ? ' stale' : ''}`} aria-label={`Hive ${id}`}>
      <header>
        <StatusChip status={livenessStyles[liveness]} />
        <button type="button" class="link name" data-opens={`hive:${id}`} onClick={() => show(`hive:${id}`)}>
          {id}
        </button>
        <CordonChip view={view} />
        {view.state !== 'ready' && <StatusChip status={stateStyle} />}
        <span class="summary">{gpuSummary(view.gpus)}</span>
        <CardAge id={id} />
      </header>
      <div class="host">
        <span class="metric">
          <span class="label">CPU</span>
          <Meter value={host.cpuPercent} max={cpusOf(host) * 100} />
          <span class="value">
            {formatCores(host.cpuPercent)} <small>/ {formatCount(cpusOf(host))} cores</small>
          </span>
        </span>
        <span class="metric">
          <span class="label">Memory</span>
          <Meter value={usedMemory} max={host.memoryTotalBytes} tone={fullness(usedMemory, host.memoryTotalBytes)} />
          <span class="value">{formatGibOf(usedMemory, host.memoryTotalBytes)}</span>
        </span>
      </div>
      {inside !== null && <p class="inside">{inside}</p>}
      {absence !== null ? (
        <NoGpus absence={absence} />
      ) : (
        <div class="gpus">
          <div class="gpu-head" aria-hidden="true">
            <span>VRAM, GiB</span>
            <span>Utilization</span>
            <span>Temp</span>
            <span>Power</span>
          </div>
          {view.gpus.map((gpu) => (
            <GpuRow key={gpu.uuid} hive={id} gpu={gpu} liveness={liveness} />
          ))}
        </div>
      )}
      <footer>
        <span class="dots" aria-hidden="true">
          {workers.slice(0, 24).map((worker) => (
            <i
              key={worker.key}
              class={`dot ${stale || worker.state === 'unknown' ? 'tone-unknown hatched' : `tone-${styleOf(workerStateStyles, worker.state).tone} fill`}`}
            />
          ))}
        </span>
        <button type="button" class="link quiet" onClick={() => go({ view: 'workers', hive: id, q: '' }, 'step')}>
          {plural(workers.length, 'worker')}
        </button>
        {stale && <span class="status tone-bad plain">○ these values are old</span>}
        {missing !== null && (
          <span class="status tone-warning plain" title={sentence(missing)}>
            ◆ list incomplete
          </span>
        )}
      </footer>
    </article>
  );
}

interface GpuRowProps {
  readonly hive: string;
  readonly gpu: GpuSample;
  readonly liveness: Liveness;
}

function GpuRow({ hive, gpu, liveness }: GpuRowProps) {
  const status = statusNow(gpuStyle({ health: gpu.health, liveness }));
  const old = oldValuesText(liveness);
  const said = [
    `GPU ${gpu.index}`,
    status.word,
    ...(old === null ? [] : [old]),
    `VRAM ${gpu.memoryUsedBytes === null ? 'unknown' : formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}`,
    `utilization ${gpu.utilizationPercent === null ? 'unknown' : formatPercent(gpu.utilizationPercent)}`,
    `temperature ${gpu.temperatureCelsius === null ? 'unknown' : formatCelsius(gpu.temperatureCelsius)}`,
    `power ${gpu.powerWatts === null ? 'unknown' : formatWatts(gpu.powerWatts)}`,
  ].join(', ');
  const silent = gpu.memoryUsedBytes === null && gpu.utilizationPercent === null;
  return (
    <button
      type="button"
      class="gpu-row"
      data-opens={`gpu:${hive}/${gpu.uuid}`}
      title={[old === null ? '' : sentence(old), status.hint].filter(Boolean).join(' ') || undefined}
      onClick={() => show(`gpu:${hive}/${gpu.uuid}`)}
    >
      <span class="sr-only">{said}</span>
      <span class="index" aria-hidden="true">
        {!silent && status !== gpuHealthStyles.ok && <span class={`symbol tone-${status.tone}`}>{status.symbol}</span>}
        <span>{gpu.index}</span>
      </span>
      <Meter
        value={gpu.memoryUsedBytes}
        max={gpu.memoryTotalBytes}
        tone={fullness(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}
      />
      <span class="number" aria-hidden="true">
        {formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes).replace(' GiB', '')}
      </span>
      <Meter value={gpu.utilizationPercent} max={100} tone="good" />
      {silent ? (
        <span class="verdict" aria-hidden="true">
          <StatusChip status={status} plain />
        </span>
      ) : (
        <>
          <span class="number" aria-hidden="true">
            {formatPercent(gpu.utilizationPercent)}
          </span>
          <span class="number" aria-hidden="true">
            {gpu.temperatureCelsius === null ? unknownText : `${gpu.temperatureCelsius.toFixed(0)}°`}
          </span>
          <span class="number" aria-hidden="true">
            {formatWatts(gpu.powerWatts)}
          </span>
        </>
      )}
    </button>
  );
}
