/** One line of a chart. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly Series[];
  /** Drawn across the panel, as a bound. */
  readonly line?: { readonly y: number; readonly name: string };
  /** Names of the places on the x axis; numbers, on a logarithmic axis, without them. */
  readonly places?: readonly string[];
}

const width = 460;
const height = 260;
const margin = { left: 58, right: 14, top: 34, bottom: 44 };
const colors = ['#2563eb', '#ea580c', '#059669', '#9333ea', '#dc2626', '#0891b2', '#a16207', '#475569'];

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(3)));

/** Powers of ten around the values. */
function decades(values: readonly number[]): readonly [number, number] {
  const known = values.filter((value) => value > 0 && Number.isFinite(value));
  if (known.length === 0) return [0, 1];
  const low = Math.floor(Math.log10(Math.min(...known)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...known)) - 1e-9);
  return [low, Math.max(high, low + 1)];
}

function panel({ title, xLabel, series, line, places }: Panel, left: number, top: number): string {
  const points = series.flatMap((each) => each.points);
  const [yLow, yHigh] = decades([...points.map(([, y]) => y), ...(line ? [line.y] : [])]);
  const [xLow, xHigh] = places ? [0, Math.max(1, places.length - 1)] : decades(points.map(([x]) => x));
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const x = (value: number) =>
    margin.left + (((places ? value : Math.log10(value)) - xLow) / (xHigh - xLow)) * inner.width;
  const y = (value: number) => margin.top + inner.height - ((Math.log10(value) - yLow) / (yHigh - yLow)) * inner.height;
  const at = (value: number) => value.toFixed(1);
  const out = [`<g transform="translate(${left},${top})">`];
  out.push(`<text x="${margin.left}" y="18" font-size="13" font-weight="600">${escaped(title)}</text>`);
  for (let decade = yLow; decade <= yHigh; decade++) {
    const position = at(y(10 ** decade));
    out.push(`<path d="M${margin.left} ${position}H${width - margin.right}" stroke="#e2e8f0"/>`);
    out.push(
      `<text x="${margin.left - 6}" y="${position}" dy="4" text-anchor="end">${short(Number((10 ** decade).toPrecision(3)))}</text>`,
    );
  }
  const ticks = places
    ? places.map((name, i) => [i, name] as const)
    : Array.from({ length: xHigh - xLow + 1 }, (_, i) => [10 ** (xLow + i), short(10 ** (xLow + i))] as const);
  for (const [value, name] of ticks)
    out.push(
      `<text x="${at(x(value))}" y="${height - margin.bottom + 16}" text-anchor="middle">${escaped(name)}</text>`,
    );
  out.push(
    `<text x="${margin.left + inner.width / 2}" y="${height - 10}" text-anchor="middle" fill="#64748b">${escaped(xLabel)}</text>`,
  );
  if (line) {
    const position = at(y(line.y));
    out.push(
      `<path d="M${margin.left} ${position}H${width - margin.right}" stroke="#dc2626" stroke-dasharray="5 4"/>`,
      `<text x="${width - margin.right}" y="${position}" dy="-4" text-anchor="end" fill="#dc2626">${escaped(line.name)}</text>`,
    );
  }
  series.forEach((each, i) => {
    const color = colors[i % colors.length];
    const known = each.points.filter(([, value]) => value > 0);
    if (known.length === 0) return;
    const path = known.map(([px, py], n) => `${n === 0 ? 'M' : 'L'}${at(x(px))} ${at(y(py))}`).join('');
    out.push(`<path d="${path}" fill="none" stroke="${color}" stroke-width="2"/>`);
    for (const [px, py] of known) out.push(`<circle cx="${at(x(px))}" cy="${at(y(py))}" r="3" fill="${color}"/>`);
    out.push(
      `<text x="${margin.left + 8}" y="${margin.top + 12 + i * 14}" fill="${color}">${escaped(each.name)}</text>`,
    );
  });
  return `${out.join('\n')}\n</g>`;
}

/** Panels side by side, `columns` in a row, as one SVG on white. Both axes are logarithmic. */
export function chart(title: string, panels: readonly Panel[], columns = 2): string {
  const rows = Math.ceil(panels.length / columns);
  const body = panels.map((each, i) => panel(each, (i % columns) * width, Math.floor(i / columns) * height));
  const size = `width="${columns * width}" height="${rows * height}" viewBox="0 0 ${columns * width} ${rows * height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="system-ui, sans-serif" font-size="11" fill="#0f172a">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...body,
    '</svg>\n',
  ].join('\n');
}
