import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import type { HiveView, Liveness } from '../../contract/api.js';
import type { GpuSample } from '../../contract/heartbeat.js';
import { containerText } from '../../present/container.js';
import { type AbsenceText, hiveGpusText } from '../../present/knowledge.js';
import { hasWords, labelTexts, wordsOf } from '../../present/search.js';
import { countText, oldValuesText, plural, sentence } from '../../present/sentences.js';
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
import { ageOf, drawn, hives, ordered, workersOf } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { sortHives } from '../data/query.js';
import { useWidth } from '../parts/hooks.js';
import { fullness, Meter } from '../parts/meter.js';
import { StatusChip, StatusLabel, statusNow } from '../parts/status-chip.js';
import { Choices, Toolbar } from '../parts/toolbar.js';
import { offsetsOf, Virtual } from '../parts/virtual.js';
import { AttentionList } from './attention.js';
import { CordonChip } from './cordon.js';
import { MissingList } from './missing.js';

const minCardWidth = 420;
const gap = 12;
/** Heights that the style sheet gives: head, host, foot and paddings; what the container has; heading of the GPUs; one GPU. */
const frameHeight = 126;
const insideHeight = 20;
const gpuHeadHeight = 22;
const gpuRowHeight = 24;

const cardHeight = (view: HiveView) =>
  frameHeight +
  (containerText(view.host) === null ? 0 : insideHeight) +
  (hiveGpusText(view) === null ? gpuHeadHeight + view.gpus.length * gpuRowHeight : gpuRowHeight);

function selectHives(): HiveView[] {
  const { liveness } = at;
  const words = wordsOf(at.q.value);
  const found = Array.from(hives.values(), ({ view }) => view).filter(
    (view) =>
      (liveness.value === '' || view.liveness === liveness.value) &&
      hasWords(words, [view.id, view.hostname, view.gpus[0]?.name, ...labelTexts(view.labels)]),
  );
  return sortHives(found);
}

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

export function HivesView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  ordered.value;
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const found = selectHives();
  const columns = Math.max(1, Math.floor((width + gap) / (minCardWidth + gap)));
  const stacks = stackUp(found, columns);
  return (
    <section aria-label="Hives">
      <AttentionList />
      <Toolbar
        label="Filter hives"
        placeholder="Filter by name, GPU or label"
        count={countText(found.length, hives.size, 'hive')}
      >
        <Choices
          label="Liveness"
          param="liveness"
          options={Object.entries(livenessStyles).map(([value, status]) => [
            value,
            <StatusLabel key={value} status={status} plain />,
          ])}
        />
      </Toolbar>
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
                    <HiveCard id={stack[index]!.id} />
                  </div>
                )}
              />
            ))}
          </div>
        )}
        {found.length === 0 && <p class="nothing">No hive matches the filter.</p>}
      </div>
      <MissingList kinds={['hive', 'gpu']} />
    </section>
  );
}

function NoGpus({ absence: { text, reason, unknown } }: { readonly absence: AbsenceText }) {
  return (
    <p class="no-gpu" title={reason === null ? undefined : sentence(reason)}>
      {unknown ? <span class="status tone-warning plain">{`? GPUs ${text}: ${reason}`}</span> : 'No GPU on this host'}
    </p>
  );
}

function HiveCard({ id }: { readonly id: string }) {
  drawn.value;
  const hive = hives.get(id);
  if (!hive) return <article class="card" />;
  const { view } = hive;
  const { host, liveness } = view;
  const age = ageOf(hive);
  const stale = liveness === 'offline';
  const usedMemory =
    host.memoryTotalBytes === null || host.memoryAvailableBytes === null
      ? null
      : host.memoryTotalBytes - host.memoryAvailableBytes;
  const workers = workersOf(id);
  const absence = hiveGpusText(view, view.collection.gpuAgeMs);
  const stateStyle = styleOf(hiveStateStyles, view.state);
  const inside = containerText(host);
  return (
    <article class={`card${stale ? ' stale' : ''}`} aria-label={`Hive ${id}`}>
      <header>
        <StatusChip status={livenessStyles[liveness]} />
        <button type="button" class="link name" onClick={() => show(`hive:${id}`)}>
          {id}
        </button>
        <CordonChip view={view} />
        {view.state !== 'ready' && <StatusChip status={stateStyle} />}
        <span class="summary">{gpuSummary(view.gpus)}</span>
        <span class="age" title="Since the queen heard its last heartbeat">
          <span class="sr-only">last heartbeat </span>
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
