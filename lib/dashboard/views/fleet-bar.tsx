import type { ComponentChildren } from 'preact';
import { gpuHealthStyles, livenessStyles, type StatusStyle, workerStateStyles } from '../../present/status.js';
import { formatBytes, formatPercent } from '../../present/units.js';
import { hives, mirror, ordered, totals, workers } from '../data/fleet.js';
import { fullness, Meter, type Share, Shares } from '../parts/meter.js';

const { offline } = livenessStyles;
const healthStyles = { ...gpuHealthStyles, offline };
const stateStyles = { ...workerStateStyles, offline };

function shares<K extends string>(
  styles: Readonly<Record<K, StatusStyle>>,
  counts: Partial<Record<K, number>>,
): Share[] {
  return (Object.keys(styles) as K[]).map((key) => ({
    label: styles[key].word,
    symbol: styles[key].symbol,
    tone: styles[key].tone,
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
  const count = mirror.counts();
  const fleet = totals.value;
  return (
    <dl class="fleet-bar" aria-label="Fleet">
      <Tile label="Hives" value={hives.size.toLocaleString('en')}>
        <Shares parts={shares(livenessStyles, count.liveness)} />
      </Tile>
      <Tile label="GPUs" value={count.gpus.toLocaleString('en')}>
        <Shares parts={shares(healthStyles, count.health)} />
      </Tile>
      <Tile
        label="VRAM used"
        value={
          count.usedBytes === null || count.totalBytes === null ? (
            '—'
          ) : (
            <>
              {formatBytes(count.usedBytes)} <small>of {formatBytes(count.totalBytes)}</small>
            </>
          )
        }
      >
        <Meter value={count.usedBytes} max={count.totalBytes} tone={fullness(count.usedBytes, count.totalBytes)} />
        <span class="legend">
          <span>
            {count.usedBytes === null || count.totalBytes === null
              ? 'no GPU read'
              : formatPercent((count.usedBytes / count.totalBytes) * 100)}
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
        <Shares parts={shares(stateStyles, count.state)} />
      </Tile>
      <Tile
        label="Ingest"
        value={
          fleet === null ? (
            '—'
          ) : (
            <>
              {fleet.heartbeatsPerSecond.toFixed(fleet.heartbeatsPerSecond < 100 ? 1 : 0)} <small>heartbeats/s</small>
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
