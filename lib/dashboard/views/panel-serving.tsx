import type { WorkerView } from '../../contract/api.js';
import { formatPercent, formatPerSecond, formatTokensPerSecond, unknownText } from '../../present/units.js';
import { Chart } from '../parts/chart.js';
import type { useHistory } from '../parts/history.js';

type Serving = NonNullable<WorkerView['serving']>;

/** The figures of an engine that the queen keeps for an hour, by their names there. */
export const servingFigures = (serving: WorkerView['serving']) => ({
  running: serving?.running ?? null,
  waiting: serving?.waiting ?? null,
  kvPercent: serving?.kvPercent ?? null,
  generationTokensPerSecond: serving?.generationTokensPerSecond ?? null,
});

const formatCount = (value: number | null): string =>
  value === null ? unknownText : value.toLocaleString('en', { maximumFractionDigits: 1 });

interface ServingChartsProps {
  readonly serving: Serving;
  readonly series: ReturnType<typeof useHistory>;
}

/** The last hour of what an engine had to do; what it does not say has no chart. */
export const ServingCharts = ({ serving, series }: ServingChartsProps) => (
  <div class="charts">
    {serving.running !== null && (
      <Chart title="Running requests" now={formatCount(serving.running)} {...series('running')} format={formatCount} />
    )}
    {serving.waiting !== null && (
      <Chart title="Waiting requests" now={formatCount(serving.waiting)} {...series('waiting')} format={formatCount} />
    )}
    {serving.kvPercent !== null && (
      <Chart
        title="KV cache"
        now={formatPercent(serving.kvPercent)}
        {...series('kvPercent')}
        format={formatPercent}
        top={100}
      />
    )}
    {serving.generationTokensPerSecond !== null && (
      <Chart
        title="Tokens generated"
        now={formatTokensPerSecond(serving.generationTokensPerSecond)}
        {...series('generationTokensPerSecond')}
        format={formatPerSecond}
        tone="good"
      />
    )}
  </div>
);
