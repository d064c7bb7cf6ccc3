import { writeSync } from 'node:fs';
import { keepColours } from '../../present/printable.js';
import { columns } from '../text.js';

/** The part of a TTY stream that is used. */
export interface TerminalOutput {
  readonly columns?: number;
  readonly rows?: number;
  readonly writableNeedDrain: boolean;
  write(text: string): boolean;
}

// Alternate screen, no cursor, no wrapping at the right edge (a character too wide must not scroll the picture).
const enterSequence = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J';
// Presses of buttons and the wheel (mode 1000), with columns beyond 223 (SGR, mode 1006).
const mouseOn = '\u001b[?1000h\u001b[?1006h';
const mouseOff = '\u001b[?1006l\u001b[?1000l';
const leaveSequence = '\u001b[0m\u001b[?7h\u001b[?25h\u001b[?1049l';

/**
 * Draws frames on a terminal without flicker: only lines that changed are written, nothing is erased before it is drawn,
 * and a terminal that knows synchronized output (mode 2026) shows each frame at once. Over a slow line frames are left
 * out rather than queued.
 */
export class Screen {
  private shown: readonly string[] = [];
  private active = false;
  private mouse = false;
  private readonly output: TerminalOutput;
  private readonly writeNow: (text: string) => void;

  /** `writeNow` writes without waiting: a process that is ending has no later. */
  constructor(output: TerminalOutput, writeNow: (text: string) => void = (text) => void writeSync(1, text)) {
    this.output = output;
    this.writeNow = writeNow;
  }

  get size(): { columns: number; rows: number } {
    return { columns: Math.max(20, this.output.columns ?? 80), rows: Math.max(6, this.output.rows ?? 24) };
  }

  enter(): void {
    if (this.active) return;
    this.active = true;
    this.shown = [];
    this.output.write(enterSequence);
  }

  /** Gives the terminal back as it was. May be called twice, and while the process ends. */
  leave(): void {
    if (!this.active) return;
    this.active = false;
    const mouse = this.mouse;
    this.mouse = false;
    try {
      this.writeNow(`${mouse ? mouseOff : ''}${leaveSequence}`);
    } catch {
      // The terminal is gone: there is nothing to give back.
    }
  }

  /** Whether the terminal reports the mouse: while it does, people select text with Shift held. */
  reportMouse(wanted: boolean): void {
    if (!this.active || wanted === this.mouse) return;
    this.mouse = wanted;
    this.output.write(wanted ? mouseOn : mouseOff);
  }

  /** The next frame is drawn whole: after a resize, or where something else wrote on the screen. */
  invalidate(): void {
    this.shown = [];
  }

  /** False where the terminal has not yet taken the last frame, and this one was left out. */
  draw(lines: readonly string[]): boolean {
    if (!this.active || this.output.writableNeedDrain) return false;
    let text = '';
    for (const [i, line] of lines.entries()) {
      if (line === this.shown[i]) continue;
      // After a full line the cursor stands on its last column, which clearing to the end would erase.
      const rest = columns(line) < this.size.columns ? '\u001b[K' : '';
      text += `\u001b[${i + 1};1H${keepColours(line)}\u001b[0m${rest}`;
    }
    this.shown = lines;
    if (text !== '') this.output.write(`\u001b[?2026h${text}\u001b[?2026l`);
    return true;
  }
}
