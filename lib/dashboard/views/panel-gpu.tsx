import { gpuFields } from '../../contract/fields/gpu.js';
import type { GpuSample } from '../../contract/heartbeat.js';
import { gpuNullText, unknownOfGpu } from '../../present/null-text.js';
import { oldValuesText, sentence } from '../../present/sentences.js';
import { gpuHealthStyles, gpuStyle, styleOf } from '../../present/status.js';
import { formatCelsius, formatGib, formatGibOf, formatPercent, formatWatts } from '../../present/units.js';
import { drawn, eventsSeen, type Hive, newestEvents, workersOf } from '../data/fleet.js';
import { Chart } from '../parts/chart.js';
import { ChartWindow } from '../parts/chart-window.js';
import { CompareButton } from '../parts/compare-button.js';
import { useHistory } from '../parts/history.js';
import { fullness, Meter } from '../parts/meter.js';
import { StatusChip } from '../parts/status-chip.js';
import { Faults, fieldRows, LinkTo, RowList, unknownRows } from './panel-parts.js';

function useGpuSeries(hiveId: string, hive: Hive, gpu: GpuSample) {
  const own = newestEvents((event) => event.hive === hiveId && event.gpuUuid === gpu.uuid, 20);
  const { utilizationPercent, memoryUsedBytes, powerWatts, temperatureCelsius } = gpu;
  const sample = () => ({ utilizationPercent, memoryUsedBytes, powerWatts, temperatureCelsius });
  return useHistory({ gpu: gpu.uuid }, hive, sample, own);
}

export function GpuPanel({ hive, gpu }: { readonly hive: Hive; readonly gpu: GpuSample }) {
  eventsSeen.value;
  drawn.value;
  const { view } = hive;
  const [liveness, old] = [view.liveness, oldValuesText(view.liveness)];
  const series = useGpuSeries(view.id, hive, gpu);
  const said = styleOf(gpuHealthStyles, gpu.health);
  const status = gpuStyle({ health: gpu.health, liveness });
  const nullText = (path: string) => gpuNullText(gpu, path, view);
  const holders = workersOf(view.id).flatMap((worker) => {
    const held = worker.gpus.find((candidate) => candidate.uuid === gpu.uuid);
    return held ? [{ worker, held }] : [];
  });
  return (
    <div class="panel-body">
      <header>
        <h2>
          GPU {gpu.index} <small>{gpu.name ?? ''}</small>
        </h2>
        <p class="sub">
          <StatusChip status={status} />
          {liveness === 'offline' && <span>last known: {said.word}</span>}
          <span>
            on <LinkTo to={`hive:${view.id}`}>{view.id}</LinkTo>
          </span>
          <CompareButton of={`gpu:${view.id}/${gpu.uuid}`} />
          {gpu.memoryKind === 'unified' && <span>memory shared with the host</span>}
        </p>
      </header>
      {old !== null && <p class="note old">{sentence(old)}</p>}
      {gpu.health !== 'ok' && <p class="note">{said.hint}</p>}
      <Faults faults={view.faults.filter((fault) => fault.gpuUuid === gpu.uuid)} />
      <ChartWindow />
      <div class="charts">
        <Chart
          title="Utilization"
          now={formatPercent(gpu.utilizationPercent)}
          {...series('utilizationPercent')}
          format={formatPercent}
          top={100}
          tone="good"
        />
        <Chart
          title="VRAM"
          now={formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes)}
          {...series('memoryUsedBytes')}
          format={formatGib}
          {...(gpu.memoryTotalBytes === null ? {} : { top: gpu.memoryTotalBytes })}
        />
        <Chart
          title="Power"
          now={formatWatts(gpu.powerWatts)}
          {...series('powerWatts')}
          format={formatWatts}
          limit={gpu.powerLimitWatts}
          tone="warning"
        />
        <Chart
          title="Temperature"
          now={formatCelsius(gpu.temperatureCelsius)}
          {...series('temperatureCelsius')}
          format={formatCelsius}
          top={90}
          tone="waiting"
        />
      </div>
      <h3>Workers on it</h3>
      {holders.length === 0 ? (
        <p class="nothing small">None.</p>
      ) : (
        <ul class="held">
          {holders.map(({ worker, held }) => (
            <li key={worker.key}>
              <LinkTo to={`worker:${worker.key}`}>{worker.id}</LinkTo>
              <Meter
                value={held.memoryUsedBytes}
                max={gpu.memoryTotalBytes}
                tone={fullness(held.memoryUsedBytes, gpu.memoryTotalBytes)}
              />
              <span class="number">{formatGib(held.memoryUsedBytes)}</span>
              <span class="number">{formatPercent(held.utilizationPercent)}</span>
            </li>
          ))}
        </ul>
      )}
      <h3>Health</h3>
      <RowList
        rows={fieldRows(
          gpuFields,
          'health',
          gpu,
          {
            remappedRows:
              gpu.remappedRows &&
              `${gpu.remappedRows.pending ? 'pending a reset' : 'none pending'}${gpu.remappedRows.failed ? ', failed: replace it' : ''}`,
            nvlinks: gpu.nvlinks && `${gpu.nvlinks.up} of ${gpu.nvlinks.total}`,
          },
          nullText,
        )}
      />
      <h3>Device</h3>
      <RowList rows={[...fieldRows(gpuFields, 'device', gpu, {}, nullText), ...unknownRows(unknownOfGpu(gpu, view))]} />
    </div>
  );
}
