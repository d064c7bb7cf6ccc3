const width = 60;
const height = 18;

/**
 * A line of the last ten minutes, scaled to `max` or to its own highest. Where a value is not known the line has a gap;
 * where nothing is known there is a hatched strip. Decorative: the number beside it is what is read out.
 */
export function Sparkline({
  values,
  max,
}: {
  readonly values: readonly (number | null)[];
  readonly max: number | null;
}) {
  const top = max ?? values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0) * 1.15;
  const scale = top > 0 ? (height - 2) / top : 0;
  const step = width / Math.max(1, values.length - 1);
  let line = '';
  let area = '';
  let runStart = -1;
  values.forEach((value, index) => {
    if (value === null) return;
    const x = (index * step).toFixed(1);
    const y = (height - 1 - Math.min(value, top) * scale).toFixed(1);
    const begins = index === 0 || values[index - 1] === null;
    const ends = index === values.length - 1 || values[index + 1] === null;
    if (begins) runStart = index;
    // A lone point is drawn as a short dash.
    if (begins && ends) line += `M${Math.max(0, index * step - 1.2).toFixed(1)},${y}h1.4`;
    else line += `${begins ? 'M' : 'L'}${x},${y}`;
    area += `${begins ? `M${x},${height}L${x},${y}` : `L${x},${y}`}`;
    if (ends) area += `L${x},${height}L${(runStart * step).toFixed(1)},${height}Z`;
  });
  if (line === '') return <span class="spark hatched" aria-hidden="true" />;
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d={area} />
      <path class="line" d={line} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
