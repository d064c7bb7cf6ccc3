import type { ComponentChildren } from 'preact';
import { gpuTotal } from '../../present/knowledge.js';
import { endedStyle, hasEnded, missingStyle } from '../../present/missing.js';
import { plural } from '../../present/sentences.js';
import {
  gpuHealthStyles,
  livenessStyles,
  type StatusStyle,
  unknownStyle,
  workerStateStyles,
} from '../../present/status.js';
import { bytesOfWhole, formatPercent, unknownText } from '../../present/units.js';
import { ended } from '../data/ended.js';
import { drawn, hives, mirror, ordered, totals, workers } from '../data/fleet.js';
import { missing } from '../data/missing.js';
import { fullness, Meter, Shares, Sign } from '../parts/meter.js';

const { offline } = livenessStyles;
const healthStyles = { ...gpuHealthStyles, offline };
const stateStyles = { ...workerStateStyles, offline };

type Styles = Readonly<Record<string, StatusStyle>>;

/** Once the queen has not been heard for a while its states are unknown. */
const styles = (all: Styles): Styles => (ended.value ? { unknown: unknownStyle } : all);
function shown(counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  if (!ended.value) return counts;
  return { unknown: Object.values(counts).reduce((sum, count) => sum + count, 0) };
}

interface GoneSignProps {
  readonly count: number | undefined;
  readonly style?: StatusStyle;
}
const GoneSign = ({ count = 0, style = missingStyle }: GoneSignProps) =>
  count <= 0 ? null : (
    <Sign symbol={style.symbol} tone={style.tone}>
      {count.toLocaleString('en')} {style.word}
    </Sign>
  );

/** Workers that were seen and are gone: those that ended are no loss. */
function GoneWorkers({ count = 0 }: { readonly count: number | undefined }) {
  const ended = missing.value.filter(hasEnded).length;
  return (
    <>
      <GoneSign count={count - ended} />
      <GoneSign count={Math.min(count, ended)} style={endedStyle} />
    </>
  );
}

interface TileProps {
  readonly label: string;
  readonly value: string;
  /** What stands small behind the value. */
  readonly unit?: string | null;
  readonly children: ComponentChildren;
}

const Tile = ({ label, value, unit = null, children }: TileProps) => (
  <div class="tile">
    <dt>{label}</dt>
    <dd>
      <span class="figure">
        {value} {unit !== null && <small>{unit}</small>}
      </span>
      {children}
    </dd>
  </div>
);

export function FleetBar() {
  // With the rows: the same moment in both.
  drawn.value;
  ordered.value;
  const { liveness, health, state, gpus, usedBytes, totalBytes, uncounted, unknownGpuHives } = mirror.counts();
  const fleet = totals.value;
  const rate = fleet?.heartbeatsPerSecond ?? null;
  const vram = bytesOfWhole(usedBytes, totalBytes);
  const isKnown = usedBytes !== null && totalBytes !== null;
  return (
    <dl class="fleet-bar" aria-label="Fleet">
      <Tile label="Hives" value={hives.size.toLocaleString('en')}>
        <Shares styles={styles(livenessStyles)} counts={shown(liveness)}>
          <GoneSign count={fleet?.missing.hives} />
        </Shares>
      </Tile>
      <Tile label="GPUs" value={gpuTotal(gpus, unknownGpuHives)?.toLocaleString('en') ?? unknownText}>
        <Shares styles={styles(healthStyles)} counts={shown(health)}>
          <GoneSign count={fleet?.missing.gpus} />
        </Shares>
        {unknownGpuHives > 0 && (
          <span class="legend">
            <Sign symbol="?" tone="warning">
              unknown on {plural(unknownGpuHives, 'hive')}
            </Sign>
          </span>
        )}
      </Tile>
      <Tile label="VRAM used" value={vram.part} unit={isKnown ? `of ${vram.whole}` : null}>
        <Meter value={usedBytes} max={totalBytes} tone={fullness(usedBytes, totalBytes)} />
        <span class="legend">
          <span>
            {isKnown
              ? formatPercent((usedBytes / totalBytes) * 100)
              : unknownGpuHives > 0
                ? 'not known'
                : 'no GPU data'}
          </span>
          {uncounted > 0 && (
            <Sign symbol="?" tone="unknown">
              {uncounted} not counted
            </Sign>
          )}
        </span>
      </Tile>
      <Tile label="Workers" value={workers.size.toLocaleString('en')}>
        <Shares styles={styles(stateStyles)} counts={shown(state)}>
          <GoneWorkers count={fleet?.missing.workers} />
        </Shares>
      </Tile>
      <Tile
        label="Ingest"
        value={rate === null ? unknownText : rate.toFixed(rate < 100 ? 1 : 0)}
        unit={rate === null ? null : 'heartbeats/s'}
      >
        <span class="legend">
          {fleet?.bus === 'nats' && <span>shared over NATS</span>}
          {fleet?.bus === 'memory' && <span>one queen</span>}
          {fleet?.bus === 'degraded' && (
            <Sign symbol="◆" tone="bad">
              NATS is out of reach: only this queen's own hives are seen
            </Sign>
          )}
        </span>
      </Tile>
    </dl>
  );
}
