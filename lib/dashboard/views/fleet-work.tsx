import { formatKilowatts, formatPercent, formatWhole } from '../../present/units.js';
import { windowSeconds } from '../data/chart-window.js';
import { summed } from '../data/fleet.js';
import { fleetNow, fleetPast, type PastFleet } from '../data/fleet-history.js';
import { at, go } from '../data/location.js';
import { Chart } from '../parts/chart.js';
import { ChartWindow } from '../parts/chart-window.js';
import { Sparkline } from '../parts/sparkline.js';
import { roundTop } from '../parts/ticks.js';

const figures = [
  {
    label: 'GPU utilization',
    name: 'gpuUtilizationPercent',
    now: 'utilizationPercent',
    format: formatPercent,
    top: 100,
  },
  { label: 'GPU power', name: 'powerWatts', now: 'watts', format: formatKilowatts, top: 0 },
  {
    label: 'Tokens/s',
    name: 'generationTokensPerSecond',
    now: 'tokens',
    format: formatWhole,
    top: 0,
  },
] as const;

/** Points of a line beside a headline. */
const points = 60;

/** One value of each few, so that a line has no more of them than it has room for. */
function thinned(values: readonly (number | null)[]): readonly (number | null)[] {
  const every = Math.max(1, Math.ceil(values.length / points));
  return values.filter((_, index) => index % every === (values.length - 1) % every);
}

function measuredOf(past: PastFleet | null, name: string) {
  if (past === null) return { ages: [], values: [] };
  const { series, stepMs, newestAgeMs } = past.history;
  const values = series[name] ?? [];
  const sinceMs = performance.now() - past.atMs + newestAgeMs;
  const ages = values.map((_, index) => -(sinceMs + (values.length - 1 - index) * stepMs) / 1000);
  const first = ages.findIndex((age) => age >= -windowSeconds());
  return { ages: ages.slice(Math.max(0, first)), values: values.slice(Math.max(0, first)) };
}

/** What the fleet does, as headlines with their history; a press shows it large. */
export function FleetWork() {
  summed.value;
  const now = fleetNow();
  const past = fleetPast.value;
  const isOpen = at.fleet.value === 'open';
  return (
    <section class="fleet-work" aria-label="Fleet activity">
      <button
        type="button"
        class="headlines"
        aria-expanded={isOpen}
        title={isOpen ? 'Hide the charts' : 'Show charts of its history'}
        onClick={() => go({ fleet: isOpen ? '' : 'open' })}
      >
        {figures.map(({ label, name, now: key, format, top }) => {
          const { values } = measuredOf(past, name);
          const most = values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);
          return (
            <span key={name} class="headline">
              <span class="label">{label}</span>
              <strong>{format(now[key])}</strong>
              {values.length > 1 && <Sparkline values={thinned(values)} max={top || roundTop(most)} />}
            </span>
          );
        })}
      </button>
      {isOpen && (
        <div class="fleet-charts">
          <ChartWindow />
          <div class="charts">
            {figures.map(({ label, name, now: key, format, top }) => (
              <Chart
                key={name}
                title={label}
                now={format(now[key])}
                {...measuredOf(past, name)}
                silentMs={null}
                format={format}
                top={top}
              />
            ))}
          </div>
        </div>
      )}
    </section>
  );
}
