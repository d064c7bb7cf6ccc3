import type { FleetEvent, WorkerView } from '../../contract/api.js';
import { workerFields } from '../../contract/fields/worker.js';
import { modelsOf } from '../../contract/models.js';
import { workerGpusText } from '../../present/knowledge.js';
import { type NullContext, noContext, unknownOfWorker, workerNullText } from '../../present/null-text.js';
import { oldValuesText, sentence } from '../../present/sentences.js';
import { servingText } from '../../present/serving.js';
import { styleOf, workerStateStyles, workerStyle } from '../../present/status.js';
import {
  formatAge,
  formatBytes,
  formatCores,
  formatGib,
  formatGibOf,
  formatPercent,
  unknownText,
} from '../../present/units.js';
import { formatGpuUse, memoryOf } from '../../present/worker-figures.js';
import { ageOf, drawn, eventsSeen, type Hive, hives, newestEvents } from '../data/fleet.js';
import { Chart } from '../parts/chart.js';
import { ChartWindow } from '../parts/chart-window.js';
import { CompareButton } from '../parts/compare-button.js';
import { useHistory } from '../parts/history.js';
import { fullness, Meter } from '../parts/meter.js';
import { StatusChip } from '../parts/status-chip.js';
import { CopyCommand } from './cordon.js';
import { EventRow, eventListClass } from './events.js';
import { AbsenceNote, Faults, fieldRows, Labels, LinkTo, RowList, unknownRows } from './panel-parts.js';
import { ServingCharts, servingFigures } from './panel-serving.js';

function readyText(worker: WorkerView): string {
  if (worker.ready !== null) return worker.ready ? 'ready' : 'not ready';
  return workerNullText(worker, 'ready', noContext).unknown ? 'readiness unknown' : 'not probed';
}

function WorkerHeader({ worker, hive }: { readonly worker: WorkerView; readonly hive: Hive | undefined }) {
  const ready = readyText(worker);
  return (
    <header>
      <h2>{worker.id}</h2>
      <p class="sub">
        <StatusChip status={workerStyle(worker)} />
        {worker.liveness === 'offline' ? (
          <span>
            last known: {styleOf(workerStateStyles, worker.state).word}, {ready}
          </span>
        ) : (
          <span>{ready}</span>
        )}
        <span>
          on <LinkTo to={`hive:${worker.hive}`}>{worker.hive}</LinkTo>
        </span>
        {hive && <span>heard {formatAge(ageOf(hive))} ago</span>}
        <CompareButton of={`worker:${worker.key}`} />
      </p>
      {worker.model !== null && <p class="model-name">{modelsOf(worker).join(', ')}</p>}
    </header>
  );
}

function useWorkerSeries(worker: WorkerView, hive: Hive | undefined, own: readonly FleetEvent[]) {
  const sample = () => ({
    cpuPercent: worker.cpuPercent,
    workingSetBytes: memoryOf(worker),
    gpuUtilizationPercent: worker.gpuUtilizationPercent,
    vramUsedBytes: worker.vramUsedBytes,
    ...servingFigures(worker.serving),
  });
  return useHistory({ worker: worker.key }, hive, sample, own);
}

export function WorkerPanel({ worker }: { readonly worker: WorkerView }) {
  eventsSeen.value;
  drawn.value;
  const hive = hives.get(worker.hive);
  const own = newestEvents((event) => event.hive === worker.hive && event.workerId === worker.id, 20);
  const series = useWorkerSeries(worker, hive, own);
  const gpus = worker.gpus.map((held) => ({ held, gpu: hive?.view.gpus.find((gpu) => gpu.uuid === held.uuid) }));
  const absence = workerGpusText(worker, hive?.view.collection.gpuAgeMs ?? null);
  const faults = (hive?.view.faults ?? []).filter(
    (fault) => fault.workerId === worker.id || worker.gpus.some((gpu) => gpu.uuid === fault.gpuUuid),
  );
  const context = hive?.view ?? noContext;
  const old = oldValuesText(worker.liveness);
  const notServing = servingText(worker);
  return (
    <div class="panel-body">
      <WorkerHeader worker={worker} hive={hive} />
      {old !== null && <p class="note old">{sentence(old)}</p>}
      {worker.state === 'unknown' && <p class="note">{workerStateStyles.unknown.hint}</p>}
      <Faults faults={faults} />

      <ChartWindow />
      <div class="charts">
        <Chart
          title="CPU, cores"
          now={formatCores(worker.cpuPercent)}
          {...series('cpuPercent')}
          format={formatCores}
          limit={worker.cpuLimitPercent}
          top={100}
        />
        <Chart
          title="Memory"
          now={formatGib(memoryOf(worker))}
          {...series('workingSetBytes')}
          format={formatGib}
          limit={worker.memoryLimitBytes}
        />
        {absence === null && <GpuCharts worker={worker} series={series} />}
      </div>

      <h3>Engine load</h3>
      {worker.serving !== null && <ServingCharts serving={worker.serving} series={series} />}
      {notServing === null ? (
        <RowList rows={fieldRows(workerFields, 'serving', worker)} />
      ) : (
        <p class="note plain">{sentence(`not known: ${notServing}`)}</p>
      )}

      <h3>Limits and pressure</h3>
      <RowList rows={limitRows(worker, context)} />

      <AbsenceNote absence={absence} />
      {(absence === null || worker.gpusInferred !== null) && (
        <>
          <h3>GPUs</h3>
          <ul class="held">
            {gpus.map(({ held, gpu }) => (
              <li key={held.uuid}>
                <LinkTo to={`gpu:${worker.hive}/${held.uuid}`}>{gpu ? `GPU ${gpu.index}` : held.uuid}</LinkTo>
                <Meter
                  value={held.memoryUsedBytes}
                  max={gpu?.memoryTotalBytes ?? null}
                  tone={fullness(held.memoryUsedBytes, gpu?.memoryTotalBytes ?? null)}
                />
                <span class="number">
                  {held.memoryUsedBytes === null ? unknownText : formatBytes(held.memoryUsedBytes)}
                </span>
                <span class="number">{formatPercent(held.utilizationPercent)}</span>
              </li>
            ))}
          </ul>
        </>
      )}

      <h3>Process</h3>
      <RowList rows={processRows(worker, context)} />
      {worker.origin === 'launched' && hive && (
        <>
          <p class="hint">On {hive.view.hostname} only:</p>
          <ul class="commands">
            <li>
              <span>Stop it</span>
              <CopyCommand command={`hivepulse stop ${worker.id}`} />
            </li>
          </ul>
        </>
      )}
      <h3>Command</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long command scrolls, by keyboard as well */}
      <pre class="command" tabIndex={0}>
        {worker.command ?? 'not known'}
      </pre>

      <h3>Events</h3>
      {own.length === 0 ? (
        <p class="nothing small">No recent events.</p>
      ) : (
        <ul class={eventListClass(own)}>
          {own.map((event) => (
            <EventRow key={event.id} event={event} brief />
          ))}
        </ul>
      )}
    </div>
  );
}

function limitRows(worker: WorkerView, context: NullContext) {
  const nullText = (path: string) => workerNullText(worker, path, context);
  const { cpuLimitPercent, cpuThrottledPercent } = worker;
  const isLimited = cpuLimitPercent !== null || cpuThrottledPercent !== null || nullText('cpuLimitPercent').unknown;
  const { workingSetBytes, memoryBytes } = worker;
  const drawn = {
    cpuThrottledPercent: isLimited ? null : 'no limit to throttle at',
    // Without a cgroup nobody knows which of it is inactive cache.
    workingSetBytes:
      workingSetBytes === null && memoryBytes !== null ? `${formatGib(memoryBytes)} resident in its processes` : null,
  };
  return fieldRows(workerFields, 'limits', worker, drawn, nullText);
}

const processRows = (worker: WorkerView, context: NullContext) => [
  ...fieldRows(workerFields, 'process', worker, { labels: <Labels labels={worker.labels} /> }),
  ...unknownRows(unknownOfWorker(worker, context)),
];

interface GpuChartsProps {
  readonly worker: WorkerView;
  readonly series: ReturnType<typeof useHistory>;
}

const GpuCharts = ({ worker, series }: GpuChartsProps) => (
  <>
    <Chart
      title="GPU utilization"
      now={formatGpuUse(worker.gpuUtilizationPercent, worker.gpus.length)}
      {...series('gpuUtilizationPercent')}
      format={formatPercent}
      top={worker.gpus.length * 100}
      tone="good"
    />
    <Chart
      title="VRAM"
      now={formatGibOf(worker.vramUsedBytes, worker.vramTotalBytes)}
      {...series('vramUsedBytes')}
      format={formatGib}
      {...(worker.vramTotalBytes === null ? {} : { top: worker.vramTotalBytes })}
    />
  </>
);
