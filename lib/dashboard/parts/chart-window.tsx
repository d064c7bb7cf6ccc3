import { formatClock, formatMoment } from '../../present/moment.js';
import { windowSeconds, windows, zoom } from '../data/chart-window.js';
import { go } from '../data/location.js';

const showAll = () => {
  zoom.value = null;
};

/** Chooses how far back the charts below go; while a part is looked at closer it says which, and leads back. */
export function ChartWindow() {
  const chosen = windowSeconds();
  const part = zoom.value;
  return (
    <div class="chart-window" role="group" aria-label="Time shown">
      {windows.map(([seconds, label]) => (
        <button
          key={seconds}
          type="button"
          class="button small"
          aria-pressed={part === null && Number(seconds) === chosen}
          onClick={() => {
            zoom.value = null;
            go({ window: seconds });
          }}
        >
          {label}
        </button>
      ))}
      {part === null ? (
        <small>Drag across a chart to zoom in</small>
      ) : (
        <button type="button" class="link quiet" onClick={showAll}>
          {formatClock(part.fromMs)} to {formatMoment(part.toMs)}: show all
        </button>
      )}
    </div>
  );
}
