import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatAge, unknownText } from '../../present/units.js';
import { drawnTheme } from './theme.js';

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
}

const height = 92;
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const ageText = (seconds: number) => (seconds > -30 ? 'now' : `${Math.round(seconds / 60)} min`);

export function Chart(props: ChartProps) {
  const { title, now, ages, values, silentMs, format, limit = null, top = 0, tone = 'active' } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = drawnTheme.value;
  const latest = useRef({ format, limit, top });
  latest.current = { format, limit, top };

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
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 } },
        scales: {
          x: { time: false, range: () => [-3600, 0] },
          y: {
            range: (_, __, most) => [
              0,
              Math.max(latest.current.top, latest.current.limit ?? 0, (most ?? 0) * 1.08, 1e-9),
            ],
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
            splits: () => [-2700, -1800, -900, 0],
            values: (_, splits) => splits.map(ageText),
          },
          {
            stroke: text,
            font,
            size: 58,
            gap: 4,
            grid: { stroke: grid, width: 1 },
            ticks: { show: false },
            splits: (_, __, low, high) => [low, (low + high) / 2, high],
            values: (_, splits) => splits.map((value) => latest.current.format(value)),
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
          draw: [
            (u) => {
              const value = latest.current.limit;
              if (value === null) return;
              const y = Math.round(u.valToPos(value, 'y', true));
              u.ctx.save();
              u.ctx.strokeStyle = css('--bad');
              u.ctx.setLineDash([4, 4]);
              u.ctx.beginPath();
              u.ctx.moveTo(u.bbox.left, y);
              u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
              u.ctx.stroke();
              u.ctx.restore();
            },
          ],
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
                  : `${ageText(age)}: ${value === null ? 'not known' : latest.current.format(value)}`;
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
  }, [ages, values, limit, top]);

  const known = values.filter((value) => value !== null);
  const summary =
    known.length === 0
      ? 'nothing is known of the last hour'
      : `last hour from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
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
