import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatMoment } from '../../present/moment.js';
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
  /** Several things in place of `values`, each with a line of its own. */
  readonly lines?: readonly ChartLine[] | undefined;
  /** px */
  readonly height?: number;
}

export interface ChartLine {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

/** Lines differ by colour and by their dashes. */
export const lineLooks = [
  { color: '--active', dash: [] },
  { color: '--warning', dash: [6, 3] },
  { color: '--good', dash: [2, 2] },
  { color: '--bad', dash: [8, 3, 2, 3] },
  { color: '--waiting', dash: [12, 4] },
  { color: '--unknown', dash: [4, 4] },
] as const;

/** One line with an area below it, or a line for each of several. */
function seriesOf(lines: readonly ChartLine[] | undefined, tone: string): uPlot.Series[] {
  const shared = { width: 1.5, spanGaps: false, points: { show: false } };
  if (lines === undefined) {
    const stroke = css(`--${tone}`);
    return [{}, { ...shared, stroke, fill: `color-mix(in srgb, ${stroke} 16%, transparent)` }];
  }
  const looks = lines.map((_, index) => lineLooks[index % lineLooks.length]!);
  return [{}, ...looks.map(({ color, dash }) => ({ ...shared, stroke: css(color), dash: [...dash] }))];
}

const dataOf = ({ ages, values, lines }: Pick<ChartProps, 'ages' | 'values' | 'lines'>): uPlot.AlignedData =>
  [[...ages], ...(lines === undefined ? [[...values]] : lines.map((line) => [...line.values]))] as uPlot.AlignedData;

/** What the cursor is at, in words. */
function tipText(u: uPlot, lines: readonly ChartLine[] | undefined, format: ChartProps['format']): string {
  const index = u.cursor.idx;
  const age = index == null ? undefined : u.data[0]?.[index];
  if (index == null || age === undefined) return '';
  const said = (values: ArrayLike<number | null | undefined> | undefined) => {
    const value = values?.[index] ?? null;
    return value === null ? 'not known' : format(value);
  };
  const parts = lines?.map(({ name }, line) => `${name} ${said(u.data[line + 1])}`) ?? [said(u.data[1])];
  return `${formatMoment(wallMs(age))}: ${parts.join(', ')}`;
}

const leastHeight = 92;
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const wallMs = (age: number): number => Date.now() + age * 1000;
const clockText = (atMs: number): string =>
  new Date(atMs).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });

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

/** A round number needs no decimals: `40 GiB`, `0`. Nothing where neither a value nor a limit says what the scale is of. */
function scaleTexts(
  u: uPlot,
  splits: number[],
  { format, limit, top }: Required<Pick<ChartProps, 'format' | 'limit' | 'top'>>,
): string[] {
  const isEmpty =
    top === 0 && limit === null && u.data.slice(1).every((line) => [...line].every((value) => value == null));
  return splits.map((value) => (isEmpty ? '' : format(value).replace(/\.0{1,3}(?!\d)/, '')));
}

/** Room for the longest label of the axis of values, px. */
const labelRoom = (_: uPlot, labels: readonly string[] | null): number =>
  Math.max(58, 6 + 6.5 * Math.max(0, ...(labels ?? []).map(({ length }) => length)));

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
  const {
    title,
    now,
    ages,
    values,
    silentMs,
    format,
    limit = null,
    top = 0,
    tone = 'active',
    marks = [],
    lines,
    height = leastHeight,
  } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = drawnTheme.value;
  const latest = useRef({ format, limit, top, marks, lines });
  latest.current = { format, limit, top, marks, lines };
  const seconds = windowSeconds();
  const part = zoom.value;

  useEffect(() => {
    if (!box.current) return;
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
            size: labelRoom,
            gap: 4,
            grid: { stroke: grid, width: 1 },
            ticks: { show: false },
            splits: (_, __, low, high) => [low, (low + high) / 2, high],
            values: (u, splits) => scaleTexts(u, splits, latest.current),
          },
        ],
        series: seriesOf(lines, tone),
        hooks: {
          draw: [(u) => drawOver(u, latest.current.limit, latest.current.marks)],
          setSelect: [zoomToSelected],
          setCursor: [
            (u) => {
              const tip = box.current?.querySelector<HTMLElement>('.tip');
              if (!tip) return;
              tip.textContent = tipText(u, latest.current.lines, latest.current.format);
            },
          ],
        },
      },
      dataOf({ ages, values, lines }),
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
  }, [theme, tone, lines?.length]);

  useEffect(() => {
    plot.current?.setData(dataOf({ ages, values, lines }));
  }, [ages, values, lines, limit, top, seconds, part]);

  const known = (lines?.flatMap((line) => line.values) ?? values).filter((value) => value !== null);
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
        style={{ height: `${height}px` }}
        role="img"
        aria-label={`${title}: ${summary}${silentMs === null ? '' : ', not known now'}${limit === null ? '' : `, limit ${format(limit)}`}`}
      >
        <span class="tip" aria-hidden="true" />
      </div>
    </figure>
  );
}
