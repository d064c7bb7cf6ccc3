import { seriesPerRing } from './history-sizes.js';

/** Float32 for values as they are, Uint16 for the upper halves of them. */
type Points = Float32Array | Uint16Array;

interface Layout {
  /** Steps of a ring. */
  readonly steps: number;
  /** Of those, how many are kept together: a part of `steps`. */
  readonly stepsPerPiece: number;
  /** What stands where nothing is known. */
  readonly unknown: number;
  make(length: number): Points;
}

const piecesPerSlab = 512;
const ringsPerTable = 256;

/**
 * The points of many rings. A ring is cut into pieces, each of which comes when something is first known in its time: a thing
 * that was seen for a minute takes the room of one piece, and what is never known takes none. Which time a point is of follows
 * from its place: step modulo `steps`.
 */
export class RingPoints {
  readonly #layout: Layout;
  readonly #piecesPerRing: number;
  readonly #pointsPerPiece: number;
  readonly #slabs: Points[] = [];
  /** Pieces of each ring, counted from 1; 0: none. */
  readonly #tables: Int32Array[] = [];
  readonly #free: number[] = [];
  #made = 0;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#piecesPerRing = layout.steps / layout.stepsPerPiece;
    this.#pointsPerPiece = layout.stepsPerPiece * seriesPerRing;
  }

  /** Bytes of the pieces that are in use. */
  get usedBytes(): number {
    const bytes = this.#slabs[0]?.BYTES_PER_ELEMENT ?? 0;
    return (this.#made - this.#free.length) * this.#pointsPerPiece * bytes;
  }

  get(ring: number, series: number, step: number): number {
    const piece = this.#piece(ring, step);
    if (piece === 0) return this.#layout.unknown;
    return this.#slabOf(piece)[this.#placeOf(piece, series, step)]!;
  }

  set(ring: number, series: number, step: number, value: number): void {
    let piece = this.#piece(ring, step);
    if (piece === 0) {
      if (Object.is(value, this.#layout.unknown)) return;
      piece = this.#open(ring, step);
    }
    this.#slabOf(piece)[this.#placeOf(piece, series, step)] = value;
  }

  /** Makes a step unknown. */
  blank(ring: number, step: number): void {
    if (this.#piece(ring, step) === 0) return;
    for (let series = 0; series < seriesPerRing; series++) this.set(ring, series, step, this.#layout.unknown);
  }

  /** All of a ring is unknown from then on. */
  clear(ring: number): void {
    const table = this.#tables[Math.floor(ring / ringsPerTable)];
    if (table === undefined) return;
    const first = (ring % ringsPerTable) * this.#piecesPerRing;
    for (let at = first; at < first + this.#piecesPerRing; at++) {
      if (table[at] !== 0) this.#free.push(table[at]!);
      table[at] = 0;
    }
  }

  #piece(ring: number, step: number): number {
    const table = this.#tables[Math.floor(ring / ringsPerTable)];
    return table === undefined ? 0 : table[this.#entryOf(ring, step)]!;
  }

  #entryOf(ring: number, step: number): number {
    const { steps, stepsPerPiece } = this.#layout;
    return (ring % ringsPerTable) * this.#piecesPerRing + Math.floor((step % steps) / stepsPerPiece);
  }

  #slabOf(piece: number): Points {
    return this.#slabs[Math.floor((piece - 1) / piecesPerSlab)]!;
  }

  #placeOf(piece: number, series: number, step: number): number {
    const { stepsPerPiece } = this.#layout;
    return ((piece - 1) % piecesPerSlab) * this.#pointsPerPiece + series * stepsPerPiece + (step % stepsPerPiece);
  }

  #open(ring: number, step: number): number {
    let piece = this.#free.pop();
    if (piece === undefined) {
      if (this.#made % piecesPerSlab === 0) this.#slabs.push(this.#layout.make(piecesPerSlab * this.#pointsPerPiece));
      piece = ++this.#made;
    }
    const first = ((piece - 1) % piecesPerSlab) * this.#pointsPerPiece;
    this.#slabOf(piece).fill(this.#layout.unknown, first, first + this.#pointsPerPiece);
    const table = Math.floor(ring / ringsPerTable);
    while (this.#tables.length <= table) this.#tables.push(new Int32Array(ringsPerTable * this.#piecesPerRing));
    this.#tables[table]![this.#entryOf(ring, step)] = piece;
    return piece;
  }
}
