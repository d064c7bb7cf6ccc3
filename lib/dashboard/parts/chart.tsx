import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatAge, unknownText } from '../../present/units.js';
import { windowSeconds, zoom, zoomTo } from '../data/chart-window.js';
import { drawnTheme } from './theme.js';
import { roundTop, timeTicks } from './ticks.js';

export interface ChartProps {
  readonly title: string;
  /** The current value, shown beside the title. */
  readonly now: string;
  /** Ages in seconds before now, as negative numbers; rising. */
  readonly ages: readonly number[];
  /** null: not known; the line has a gap. */
  readonly values: readonly (number | null)[];
  /** How long the hive has been silent; null: `now` is of now. */
  readonly silentMs: number | null;
  readonly format: (value: number | null) => string;
  /** Drawn as a dashed line, and the top of the scale. */
  readonly limit?: number | null;
  /** Least top of the scale. */
  readonly top?: number;
  readonly tone?: 'active' | 'good' | 'warning' | 'waiting';
  /** Ages of events, drawn as marks. */
  readonly marks?: readonly number[];
}

const height = 92;
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const wallMs = (age: number): number => Date.now() + age * 1000;
const clockText = (atMs: number): string =>
  new Date(atMs).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
const momentText = (atMs: number): string =>
  new Date(atMs).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/** Ages that are drawn: the window, or the part of it that is looked at closer. */
function shownAges(): [number, number] {
  const part = zoom.peek();
  if (part === null) return [-windowSeconds(), 0];
  return [(part.fromMs - Date.now()) / 1000, (part.toMs - Date.now()) / 1000];
}

function ticksOf(low: number, high: number): number[] {
  const now = Date.now();
  const zoneMs = -new Date(now).getTimezoneOffset() * 60_000;
  return timeTicks(now + low * 1000, now + high * 1000, zoneMs).map((at) => (at - now) / 1000);
}

/** Nothing where neither a value nor a limit says what the scale is of. */
function scaleTexts(
  u: uPlot,
  splits: number[],
  { format, limit, top }: Required<Pick<ChartProps, 'format' | 'limit' | 'top'>>,
): string[] {
  const isEmpty = top === 0 && limit === null && (u.data[1] ?? []).every((value) => value == null);
  return splits.map((value) => (isEmpty ? '' : format(value)));
}

function zoomToSelected(u: uPlot): void {
  const { left, width } = u.select;
  if (width < 4) return;
  zoomTo(wallMs(u.posToVal(left, 'x')), wallMs(u.posToVal(left + width, 'x')));
  u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

function showAll(): null {
  zoom.value = null;
  return null;
}

/** A dashed line at the limit, and a mark at each event. */
function drawOver(u: uPlot, limit: number | null, marks: readonly number[]): void {
  const { ctx, bbox } = u;
  const line = (color: string, dash: number[], from: [number, number], to: [number, number]) => {
    ctx.strokeStyle = color;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
  };
  ctx.save();
  if (limit !== null) {
    const y = Math.round(u.valToPos(limit, 'y', true));
    line(css('--bad'), [4, 4], [bbox.left, y], [bbox.left + bbox.width, y]);
  }
  const [low, high] = shownAges();
  for (const age of marks) {
    if (age < low || age > high) continue;
    const x = Math.round(u.valToPos(age, 'x', true));
    line(css('--warning'), [2, 3], [x, bbox.top], [x, bbox.top + bbox.height]);
  }
  ctx.restore();
}

export function Chart(props: ChartProps) {
  const { title, now, ages, values, silentMs, format, limit = null, top = 0, tone = 'active', marks = [] } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = drawnTheme.value;
  const latest = useRef({ format, limit, top, marks });
  latest.current = { format, limit, top, marks };
  const seconds = windowSeconds();
  const part = zoom.value;

  useEffect(() => {
    if (!box.current) return;
    const line = css(`--${tone}`);
    const grid = css('--line');
    const text = css('--muted');
    const font = `11px ${css('--font')}`;
    const drawn = new uPlot(
      {
        width: box.current.clientWidth || 300,
        height,
        padding: [6, 18, 0, 0],
        legend: { show: false },
        // One crosshair over all charts that are shown; dragging looks closer, a double click at the whole window again.
        cursor: {
          drag: { x: true, y: false, setScale: false },
          sync: { key: 'history' },
          y: false,
          points: { size: 6 },
          bind: { dblclick: () => showAll },
        },
        scales: {
          x: { time: false, range: shownAges },
          y: {
            range: (_, __, most) => [0, roundTop(Math.max(latest.current.top, latest.current.limit ?? 0, most ?? 0))],
          },
        },
        axes: [
          {
            stroke: text,
            font,
            size: 24,
            gap: 5,
            grid: { show: false },
            ticks: { show: false },
            splits: (_, __, low, high) => ticksOf(low, high),
            values: (_, splits) => splits.map((age) => clockText(wallMs(age))),
          },
          {
            stroke: text,
            font,
            size: 58,
            gap: 4,
            grid: { stroke: grid, width: 1 },
            ticks: { show: false },
            splits: (_, __, low, high) => [low, (low + high) / 2, high],
            values: (u, splits) => scaleTexts(u, splits, latest.current),
          },
        ],
        series: [
          {},
          {
            stroke: line,
            width: 1.5,
            fill: `color-mix(in srgb, ${line} 16%, transparent)`,
            spanGaps: false,
            points: { show: false },
          },
        ],
        hooks: {
          draw: [(u) => drawOver(u, latest.current.limit, latest.current.marks)],
          setSelect: [zoomToSelected],
          setCursor: [
            (u) => {
              const tip = box.current?.querySelector<HTMLElement>('.tip');
              if (!tip) return;
              const index = u.cursor.idx;
              const age = index == null ? undefined : u.data[0]?.[index];
              const value = index == null ? null : (u.data[1]?.[index] ?? null);
              tip.textContent =
                age === undefined
                  ? ''
                  : `${momentText(wallMs(age))}: ${value === null ? 'not known' : latest.current.format(value)}`;
            },
          ],
        },
      },
      [[...ages], [...values]] as uPlot.AlignedData,
      box.current,
    );
    plot.current = drawn;
    const observer = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry!.contentRect.width);
      if (width > 0 && width !== drawn.width) drawn.setSize({ width, height });
    });
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [theme, tone]);

  useEffect(() => {
    plot.current?.setData([[...ages], [...values]] as uPlot.AlignedData);
  }, [ages, values, limit, top, seconds, part]);

  const known = values.filter((value) => value !== null);
  const summary =
    known.length === 0
      ? 'nothing is known of this time'
      : `from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        {silentMs === null ? (
          <strong>{now}</strong>
        ) : (
          <strong class="unknown">
            {unknownText}
            <span class="sr-only">unknown</span>{' '}
            <small>
              was {now}, {formatAge(silentMs)} ago
            </small>
          </strong>
        )}
      </figcaption>
      <div
        ref={box}
        class="plot"
        role="img"
        aria-label={`${title}: ${summary}${silentMs === null ? '' : ', not known now'}${limit === null ? '' : `, limit ${format(limit)}`}`}
      >
        <span class="tip" aria-hidden="true" />
      </div>
    </figure>
  );
}
