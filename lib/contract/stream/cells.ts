import type { NumericState } from './state.js';

/**
 * The cells that a delta has changed, row by row: filled anew with each, so that nothing is made for it. `begin` and `end` are where
 * those of the `i`th row stand among all.
 */
export class ChangedCells {
  #rows = new Int32Array(64);
  #ends = new Int32Array(64);
  #rowCount = 0;
  #columns = new Int32Array(256);
  #before = new Float64Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  row(i: number): number {
    return this.#rows[i]!;
  }

  begin(i: number): number {
    return i === 0 ? 0 : this.#ends[i - 1]!;
  }

  end(i: number): number {
    return this.#ends[i]!;
  }

  column(cell: number): number {
    return this.#columns[cell]!;
  }

  clear(): void {
    this.#length = 0;
    this.#rowCount = 0;
  }

  /** Rows rise, and columns within a row. */
  add(row: number, column: number, before: number): void {
    if (this.#length === this.#columns.length) this.#growCells();
    this.#before[this.#length] = before;
    this.#columns[this.#length++] = column;
    if (this.#rowCount === 0 || this.#rows[this.#rowCount - 1] !== row) {
      if (this.#rowCount === this.#rows.length) this.#growRows();
      this.#rows[this.#rowCount++] = row;
    }
    this.#ends[this.#rowCount - 1] = this.#length;
  }

  /** Takes all of it back. */
  restore(state: NumericState): void {
    for (let i = 0; i < this.#rowCount; i++) {
      const first = state.offsetOf(this.#rows[i]!);
      for (let cell = this.begin(i); cell < this.#ends[i]!; cell++)
        state.values[first + this.#columns[cell]!] = this.#before[cell]!;
    }
  }

  #growCells(): void {
    const [columns, before] = [this.#columns, this.#before];
    this.#columns = new Int32Array(2 * this.#length);
    this.#before = new Float64Array(2 * this.#length);
    this.#columns.set(columns);
    this.#before.set(before);
  }

  #growRows(): void {
    const [rows, ends] = [this.#rows, this.#ends];
    this.#rows = new Int32Array(2 * this.#rowCount);
    this.#ends = new Int32Array(2 * this.#rowCount);
    this.#rows.set(rows);
    this.#ends.set(ends);
  }
}
