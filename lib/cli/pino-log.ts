import { destination, type Logger, pino } from 'pino';
import { plainLine, type Stderr, wantsColours } from './log.js';

/** The log of a queen: JSON lines on standard error for machines; one plain line each where somebody looks at a terminal. */
export function createLogger(level: string, stderr: Stderr = process.stderr): Logger {
  // Synchronous: a daemon that ends at once must not lose the line that says why.
  const lines = destination({ fd: stderr.fd, sync: true });
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!stderr.isTTY) return pino(options, lines);
  const colours = wantsColours();
  return pino(options, { write: (line: string) => void lines.write(`${plainLine(line, colours)}\n`) });
}
