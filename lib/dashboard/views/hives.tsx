import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import type { Liveness } from '../../contract/api.js';
import type { GpuSample } from '../../contract/heartbeat.js';
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
  formatGibOf,
  formatPercent,
  formatWatts,
  unknownText,
} from '../../present/units.js';
import { ageOf, drawn, type Hive, hives, ordered, workersOf } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { attentionOf, matchesText, sortHives } from '../data/query.js';
import { useWidth } from '../parts/hooks.js';
import { fullness, Meter } from '../parts/meter.js';
import { StatusChip } from '../parts/status-chip.js';
import { offsetsOf, Virtual } from '../parts/virtual.js';
import { AttentionList } from './attention.js';

const minCardWidth = 420;
const gap = 12;
/** Heights that the style sheet gives: head, host, foot and paddings; heading of the GPUs; one GPU. */
const frameHeight = 126;
const gpuHeadHeight = 22;
const gpuRowHeight = 24;

const cardHeight = ({ view }: Hive) =>
  frameHeight + (view.gpus.length === 0 ? gpuRowHeight : gpuHeadHeight + view.gpus.length * gpuRowHeight);

export function selectHives(): Hive[] {
  const { q, liveness } = at;
  const text = q.value;
  const found = [...hives.values()].filter(
    (hive) =>
      (liveness.value === '' || hive.liveness === liveness.value) &&
      matchesText(text, [
        hive.view.id,
        hive.view.hostname,
        hive.view.gpus[0]?.name ?? null,
        ...Object.entries(hive.view.labels).map(([key, value]) => `${key}=${value}`),
      ]),
  );
  return sortHives(found);
}

/** Each card goes below the shortest column, so that the most urgent stay on top and no space is left between cards. */
function stackUp(found: readonly Hive[], columns: number): Hive[][] {
  const stacks = Array.from({ length: columns }, () => ({ hives: [] as Hive[], height: 0 }));
  for (const hive of found) {
    const shortest = stacks.reduce((least, stack) => (stack.height < least.height ? stack : least));
    shortest.hives.push(hive);
    shortest.height += cardHeight(hive) + gap;
  }
  return stacks.map(({ hives }) => hives);
}

export function HivesView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  ordered.value;
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const found = selectHives();
  const columns = Math.max(1, Math.floor((width + gap) / (minCardWidth + gap)));
  const stacks = stackUp(found, columns);
  const hints = {
    online: livenessStyles.online.hint,
    late: livenessStyles.late.hint,
    offline: livenessStyles.offline.hint,
  };

  return (
    <section aria-label="Hives">
      <AttentionList items={attentionOf(hives.values(), hints)} />
      <div class="toolbar">
        <input
          type="search"
          class="filter"
          placeholder="Filter by name, GPU or label   /"
          aria-label="Filter hives"
          value={at.q.value}
          onInput={(event) => go({ q: event.currentTarget.value })}
        />
        <div class="choices" role="group" aria-label="Liveness">
          {(['online', 'late', 'offline'] as const).map((value) => (
            <button
              key={value}
              type="button"
              aria-pressed={at.liveness.value === value}
              onClick={() => go({ liveness: at.liveness.value === value ? '' : value })}
            >
              <StatusChip status={livenessStyles[value]} plain />
            </button>
          ))}
        </div>
        <output class="count">
          {found.length === hives.size
            ? plural(found.length, 'hive')
            : `${found.length} of ${plural(hives.size, 'hive')}`}
        </output>
      </div>
      <div ref={box}>
        {width > 0 && (
          <div class="card-columns" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
            {stacks.map((stack, column) => (
              <Virtual
                key={column}
                offsets={offsetsOf(stack.map((hive) => cardHeight(hive) + gap))}
                scroller={scroller}
                row={(index, style, slot) => (
                  <div key={slot} class="card-row" style={style}>
                    <HiveCard id={stack[index]!.view.id} />
                  </div>
                )}
              />
            ))}
          </div>
        )}
        {found.length === 0 && <p class="nothing">No hive matches the filter.</p>}
      </div>
    </section>
  );
}

function HiveCard({ id }: { readonly id: string }) {
  drawn.value;
  const hive = hives.get(id);
  if (!hive) return <article class="card" />;
  const { view, liveness } = hive;
  const { host } = view;
  const age = ageOf(hive);
  const stale = liveness === 'offline';
  const usedMemory =
    host.memoryTotalBytes === null || host.memoryAvailableBytes === null
      ? null
      : host.memoryTotalBytes - host.memoryAvailableBytes;
  const workers = workersOf(id);
  const stateStyle = styleOf(hiveStateStyles, view.state);
  return (
    <article class={`card${stale ? ' stale' : ''}`} aria-label={`Hive ${id}`}>
      <header>
        <StatusChip status={livenessStyles[liveness]} />
        <button type="button" class="link name" onClick={() => show(`hive:${id}`)}>
          {id}
        </button>
        {view.state !== 'ready' && <StatusChip status={stateStyle} />}
        <span class="summary">{gpuSummary(view.gpus)}</span>
        <span class="age" title="Since the queen heard its last beat">
          <span class="sr-only">last beat </span>
          {formatAge(age)}
          <span class="sr-only"> ago</span>
        </span>
      </header>
      <div class="host">
        <span class="metric">
          <span class="label">CPU</span>
          <Meter value={host.cpuPercent} max={host.cpuCount * 100} />
          <span class="value">
            {formatCores(host.cpuPercent)} <small>/ {host.cpuCount} cores</small>
          </span>
        </span>
        <span class="metric">
          <span class="label">Memory</span>
          <Meter value={usedMemory} max={host.memoryTotalBytes} tone={fullness(usedMemory, host.memoryTotalBytes)} />
          <span class="value">{formatGibOf(usedMemory, host.memoryTotalBytes)}</span>
        </span>
      </div>
      {view.gpus.length === 0 ? (
        <p class="no-gpu" title={view.collection.gpuReaderReason ?? undefined}>
          {view.collection.gpuReader === 'none' ? 'No GPU on this host' : 'No GPU seen'}
        </p>
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
        {!view.workersComplete && <span class="status tone-warning plain">◆ list incomplete</span>}
      </footer>
    </article>
  );
}

/** `8 × H100 80GB HBM3` */
function gpuSummary(gpus: readonly GpuSample[]): string {
  const names = new Map<string, number>();
  for (const gpu of gpus) {
    const name = (gpu.name ?? 'GPU').replace(/^NVIDIA (GeForce )?/, '');
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  return [...names].map(([name, count]) => `${count} × ${name}`).join(', ');
}

interface GpuRowProps {
  readonly hive: string;
  readonly gpu: GpuSample;
  readonly liveness: Liveness;
}

function GpuRow({ hive, gpu, liveness }: GpuRowProps) {
  const status = gpuStyle({ health: gpu.health, liveness });
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
