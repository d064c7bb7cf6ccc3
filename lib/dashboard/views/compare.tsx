import { formatCelsius, formatCores, formatGib, formatPercent, formatWatts, formatWhole } from '../../present/units.js';
import { memoryOf } from '../../present/worker-figures.js';
import { windowSeconds } from '../data/chart-window.js';
import {
  alignSeries,
  type Compared,
  comparedText,
  maxCompared,
  parseCompared,
  toggleCompared,
} from '../data/compare.js';
import { drawn, hives, workerOf } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { Chart, lineLooks } from '../parts/chart.js';
import { ChartWindow } from '../parts/chart-window.js';
import { useHistory } from '../parts/history.js';

interface Figure {
  readonly label: string;
  /** Names of the series of the two; absent: they have none. */
  readonly worker?: string;
  readonly gpu?: string;
  readonly format: (value: number | null) => string;
  readonly top?: number;
}

const figures: Readonly<Record<string, Figure>> = {
  '': {
    label: 'GPU utilization',
    worker: 'gpuUtilizationPercent',
    gpu: 'utilizationPercent',
    format: formatPercent,
    top: 100,
  },
  vram: { label: 'VRAM', worker: 'vramUsedBytes', gpu: 'memoryUsedBytes', format: formatGib },
  cpu: { label: 'Cores', worker: 'cpuPercent', format: formatCores },
  memory: { label: 'Memory', worker: 'workingSetBytes', format: formatGib },
  tokens: { label: 'Tokens/s', worker: 'generationTokensPerSecond', format: formatWhole },
  power: { label: 'Power', gpu: 'powerWatts', format: formatWatts },
  temperature: { label: 'Temperature', gpu: 'temperatureCelsius', format: formatCelsius },
};

/** Of a worker on several GPUs: on average over them, as everywhere. */
function perGpu(shown: Compared, name: string | undefined): (value: number | null) => number | null {
  const gpus = shown.kind === 'worker' && name === 'gpuUtilizationPercent' ? workerOf(shown.key)?.gpus.length : 1;
  return (value) => (value === null ? null : value / Math.max(1, gpus ?? 1));
}

/** What of it is known now, by the names of its history. */
function sampleOf(shown: Compared | undefined): Readonly<Record<string, number | null>> {
  if (shown?.kind === 'gpu') {
    const gpu = hives.get(shown.hive)?.view.gpus.find(({ uuid }) => uuid === shown.uuid);
    if (!gpu) return {};
    const { utilizationPercent, memoryUsedBytes, powerWatts, temperatureCelsius } = gpu;
    return { utilizationPercent, memoryUsedBytes, powerWatts, temperatureCelsius };
  }
  const worker = shown === undefined ? undefined : workerOf(shown.key);
  if (!worker) return {};
  const { gpuUtilizationPercent, vramUsedBytes, cpuPercent, serving } = worker;
  const generationTokensPerSecond = serving?.generationTokensPerSecond ?? null;
  const workingSetBytes = memoryOf(worker);
  return { gpuUtilizationPercent, vramUsedBytes, cpuPercent, workingSetBytes, generationTokensPerSecond };
}

const hiveOf = (shown: Compared | undefined): string =>
  shown === undefined ? '' : shown.kind === 'gpu' ? shown.hive : shown.key.slice(0, shown.key.indexOf('/'));

function nameOf(shown: Compared): string {
  if (shown.kind === 'worker') return shown.key;
  const gpu = hives.get(shown.hive)?.view.gpus.find(({ uuid }) => uuid === shown.uuid);
  return `${shown.hive} GPU ${gpu?.index ?? shown.uuid}`;
}

const nowOf = (shown: Compared, figure: Figure): number | null =>
  perGpu(shown, figure[shown.kind])(sampleOf(shown)[figure[shown.kind] ?? ''] ?? null);

function useOne(shown: Compared | undefined) {
  const of = shown === undefined ? null : shown.kind === 'worker' ? { worker: shown.key } : { gpu: shown.uuid };
  return useHistory(of, hives.get(hiveOf(shown)), () => sampleOf(shown));
}

/** Always as many, so that each keeps its own. */
function useAll(compared: readonly Compared[]) {
  const [a, b, c, d, e, f] = compared;
  return [useOne(a), useOne(b), useOne(c), useOne(d), useOne(e), useOne(f)] as const;
}

/** Steps of 10 s in an hour. */
const steps = 360;

/** Above the lists while something is compared. */
export const Compare = () => {
  const compared = parseCompared(at.compare.value);
  return compared.length === 0 ? null : <ComparedChart compared={compared} />;
};

function ComparedChart({ compared }: { readonly compared: readonly Compared[] }) {
  drawn.value;
  const series = useAll(compared);
  const isOf = (figure: Figure) => compared.some(({ kind }) => figure[kind] !== undefined);
  const asked = figures[at.figure.value];
  const figure = asked !== undefined && isOf(asked) ? asked : figures['']!;
  const measured = compared.map((each, index) => {
    const name = figure[each.kind];
    return name === undefined ? { ages: [], values: [] } : series[index]!(name, perGpu(each, name));
  });
  const { ages, lines } = alignSeries(measured, windowSeconds(), steps);
  const named = compared.map((each, index) => ({ name: nameOf(each), values: lines[index]! }));
  return (
    <section class="compare" aria-label="Compared">
      <header>
        <h2>Compared</h2>
        <label class="pick">
          <span class="sr-only">Figure</span>
          <select value={at.figure.value} onChange={(event) => go({ figure: event.currentTarget.value })}>
            {Object.entries(figures)
              .filter(([, each]) => isOf(each))
              .map(([name, { label }]) => (
                <option key={name} value={name}>
                  {label}
                </option>
              ))}
          </select>
        </label>
        <ChartWindow />
        <button type="button" class="link quiet" onClick={() => go({ compare: '' })}>
          Clear the comparison
        </button>
      </header>
      <Chart
        key={compared.map(comparedText).join()}
        title={figure.label}
        now=""
        ages={ages}
        values={[]}
        lines={named}
        height={180}
        silentMs={null}
        format={figure.format}
        {...(figure.top === undefined ? {} : { top: figure.top })}
      />
      <ul class="compared">
        {compared.map((each, index) => (
          <li key={comparedText(each)}>
            <LineSample index={index} />
            <button type="button" class="link" onClick={() => show(comparedText(each))}>
              {named[index]!.name}
            </button>
            <span class="number">{figure.format(nowOf(each, figure))}</span>
            <button
              type="button"
              class="icon small"
              aria-label={`Compare without ${named[index]!.name}`}
              onClick={() => toggleCompared(comparedText(each))}
            >
              ✕
            </button>
          </li>
        ))}
      </ul>
      {compared.length < maxCompared && (
        <p class="hint">Up to {maxCompared} workers or GPUs: “Compare” in the details of one adds it.</p>
      )}
    </section>
  );
}

const LineSample = ({ index }: { readonly index: number }) => {
  const { color, dash } = lineLooks[index % lineLooks.length]!;
  return (
    <svg class="line-sample" viewBox="0 0 26 8" aria-hidden="true">
      <path d="M0,4h26" style={{ stroke: `var(${color})`, strokeDasharray: dash.join(' ') }} />
    </svg>
  );
};
