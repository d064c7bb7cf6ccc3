/** Draws cells of a heat map. One canvas holds those of a line of hosts: thousands of elements would be too slow to scroll. */
import type { Tone } from '../../present/status.js';
import type { CellLook } from '../data/heat-look.js';
import type { drawnTheme } from './theme.js';

export const cellWidth = 28;
export const cellHeight = 22;

interface Paint {
  readonly fill: string;
  readonly text: string;
}

interface Palette {
  readonly levels: readonly Paint[];
  readonly tones: Readonly<Record<Tone, Paint>>;
  readonly surface: string;
  readonly hatch: string;
  readonly muted: string;
  readonly font: string;
}

/** `#rrggbb` without its colour, as bright as it was. */
function greyOf(color: string): string {
  const channel = (at: number) => Number.parseInt(color.slice(at, at + 2), 16);
  const light = Math.round(0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5));
  return `rgb(${light} ${light} ${light})`;
}

const tones: readonly Tone[] = ['good', 'active', 'waiting', 'warning', 'bad', 'unknown'];
const levelTexts = ['low', 'low', 'middle', 'high', 'high'];

function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    levels: levelTexts.map((text, index) => ({ fill: read(`heat-${index + 1}`), text: read(`heat-text-${text}`) })),
    tones: Object.fromEntries(
      tones.map((tone) => [tone, { fill: read(tone), text: read(`${tone}-text`) }]),
    ) as unknown as Palette['tones'],
    surface: read('surface'),
    hatch: read('hatch'),
    muted: read('muted'),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
  };
}

/** Colours are those of the style sheet, read once for each theme. */
const palettes = new Map<typeof drawnTheme.value, Palette>();
export function paletteOf(theme: typeof drawnTheme.value): Palette {
  const known = palettes.get(theme) ?? readPalette();
  palettes.set(theme, known);
  return known;
}

/** Makes a canvas as large as it is shown; gives its context, null where the browser has none. */
export function sizedContext(canvas: HTMLCanvasElement, width: number, height: number) {
  const scale = window.devicePixelRatio;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

interface CellsPlace {
  readonly left: number;
  readonly top: number;
  /** Cells beside each other. */
  readonly perLine: number;
}

/** Cells of one host. `isOld`: without colour. */
export function paintCells(
  context: CanvasRenderingContext2D,
  looks: readonly CellLook[],
  { left, top, perLine }: CellsPlace,
  palette: Palette,
  isOld: boolean,
): void {
  context.font = palette.font;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  const shade = isOld ? greyOf : (color: string) => color;
  for (const [index, { level, tone, text }] of looks.entries()) {
    const x = left + (index % perLine) * cellWidth + 1;
    const y = top + Math.floor(index / perLine) * cellHeight + 1;
    const [width, height] = [cellWidth - 2, cellHeight - 2];
    const paint = level !== null ? palette.levels[level - 1]! : tone !== null ? palette.tones[tone] : null;
    context.beginPath();
    context.roundRect(x, y, width, height, 3);
    if (paint === null) hatch(context, x, y, width, height, palette.hatch);
    else {
      if (level === null) {
        context.fillStyle = shade(palette.surface);
        context.fill();
        context.globalAlpha = 0.18;
      }
      context.fillStyle = shade(paint.fill);
      context.fill();
      context.globalAlpha = 1;
    }
    context.fillStyle = shade(paint?.text ?? palette.muted);
    context.fillText(text, x + width / 2, y + height / 2 + 0.5);
  }
}

/** What is not known: never an empty cell, which would read as zero. Within the path that is open. */
function hatch(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, color: string) {
  context.save();
  context.clip();
  context.beginPath();
  for (let offset = -height; offset < width; offset += 7) {
    context.moveTo(x + offset, y + height);
    context.lineTo(x + offset + height, y);
  }
  context.lineWidth = 1.5;
  context.strokeStyle = color;
  context.stroke();
  context.restore();
}
