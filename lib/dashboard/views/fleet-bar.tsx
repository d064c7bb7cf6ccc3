import type { ComponentChildren } from 'preact';
import type { Liveness } from '../../contract/api.js';
import type { GpuSample, WorkerSample } from '../../contract/heartbeat.js';
import { type Face, formatBytes, formatPercent, gpuHealthFaces, livenessFaces, workerStateFaces } from '../../faces.js';
import { hives, ordered, totals, workers } from '../data/fleet.js';
import { fullness, Meter, type Share, Shares } from '../parts/meter.js';

interface Totals {
  readonly liveness: Record<Liveness, number>;
  readonly health: Partial<Record<GpuSample['health'], number>>;
  readonly state: Partial<Record<WorkerSample['state'], number>>;
  readonly gpus: number;
  /** Of GPUs of hives that are heard. */
  readonly usedBytes: number;
  readonly totalBytes: number;
  /** GPUs whose use is not known: their memory is in neither sum. */
  readonly uncounted: number;
}

/** Counted from what the stream says, so that the bar and the lists below always agree. */
export function countFleet(): Totals {
  const result = {
    liveness: { online: 0, late: 0, offline: 0 },
    health: {} as Partial<Record<GpuSample['health'], number>>,
    state: {} as Partial<Record<WorkerSample['state'], number>>,
    gpus: 0,
    usedBytes: 0,
    totalBytes: 0,
    uncounted: 0,
  };
  for (const { view, liveness } of hives.values()) {
    result.liveness[liveness]++;
    for (const gpu of view.gpus) {
      result.gpus++;
      result.health[gpu.health] = (result.health[gpu.health] ?? 0) + 1;
      // A MIG device is cut from a GPU that is counted already.
      if (gpu.parentUuid !== null) continue;
      if (liveness === 'offline' || gpu.memoryUsedBytes === null || gpu.memoryTotalBytes === null) result.uncounted++;
      else {
        result.usedBytes += gpu.memoryUsedBytes;
        result.totalBytes += gpu.memoryTotalBytes;
      }
    }
  }
  for (const worker of workers.values()) result.state[worker.state] = (result.state[worker.state] ?? 0) + 1;
  return result;
}

function shares<K extends string>(faces: Readonly<Record<K, Face>>, counts: Partial<Record<K, number>>): Share[] {
  return (Object.keys(faces) as K[]).map((key) => ({
    label: faces[key].word,
    symbol: faces[key].symbol,
    tone: faces[key].tone,
    count: counts[key] ?? 0,
  }));
}

function Tile({ label, value, children }: { label: string; value: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        <span class="figure">{value}</span>
        {children}
      </dd>
    </div>
  );
}

export function FleetBar() {
  ordered.value;
  const count = countFleet();
  const fleet = totals.value;
  return (
    <dl class="fleet-bar" aria-label="Fleet">
      <Tile label="Hives" value={hives.size.toLocaleString('en')}>
        <Shares parts={shares(livenessFaces, count.liveness)} />
      </Tile>
      <Tile label="GPUs" value={count.gpus.toLocaleString('en')}>
        <Shares parts={shares(gpuHealthFaces, count.health)} />
      </Tile>
      <Tile
        label="VRAM used"
        value={
          count.totalBytes === 0 ? (
            '—'
          ) : (
            <>
              {formatBytes(count.usedBytes)} <small>of {formatBytes(count.totalBytes)}</small>
            </>
          )
        }
      >
        <Meter
          value={count.totalBytes === 0 ? null : count.usedBytes}
          max={count.totalBytes}
          tone={fullness(count.usedBytes, count.totalBytes)}
        />
        <span class="legend">
          <span>
            {count.totalBytes === 0 ? 'no GPU read' : formatPercent((count.usedBytes / count.totalBytes) * 100)}
          </span>
          {count.uncounted > 0 && (
            <span class="tone-unknown">
              <span class="symbol" aria-hidden="true">
                ?
              </span>
              {count.uncounted} not counted
            </span>
          )}
        </span>
      </Tile>
      <Tile label="Workers" value={workers.size.toLocaleString('en')}>
        <Shares parts={shares(workerStateFaces, count.state)} />
      </Tile>
      <Tile
        label="Ingest"
        value={
          fleet === null ? (
            '—'
          ) : (
            <>
              {fleet.heartbeatsPerSecond.toFixed(fleet.heartbeatsPerSecond < 100 ? 1 : 0)} <small>beats/s</small>
            </>
          )
        }
      >
        <span class="legend">
          {fleet?.bus === 'nats' && <span>shared over NATS</span>}
          {fleet?.bus === 'memory' && <span>one queen</span>}
          {fleet?.bus === 'degraded' && (
            <span class="tone-bad">
              <span class="symbol" aria-hidden="true">
                ◆
              </span>
              NATS is out of reach: only this queen's own hives are seen
            </span>
          )}
        </span>
      </Tile>
    </dl>
  );
}
