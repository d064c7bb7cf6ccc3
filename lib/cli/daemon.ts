import type { Running } from '../config/options.js';
import type { Resolved } from '../config/resolve.js';
import { defaults } from '../contract/defaults.js';
import { HivepulseError } from '../util/errors.js';
import { blockedPortText } from '../util/fetch-ports.js';
import type { Log } from '../util/log.js';
import { shownUrl } from '../util/shown-url.js';
import { exitCodeOf, exitCodes, explain } from './exit.js';

export interface DaemonContext<L extends Log> {
  readonly logger: L;
  /** Aborts when the process is asked to end while it is still starting. */
  readonly signal: AbortSignal;
}

/**
 * Runs a service until SIGTERM or SIGINT and gives the exit code. The service then has `shutdownMs` to close; a second
 * signal, or a service that does not close, ends the process at once.
 */
export async function runDaemon<L extends Log>(
  role: 'up' | 'queen' | 'hive',
  { settings, warnings }: Resolved,
  createLogger: (level: string) => L,
  start: (context: DaemonContext<L>) => Promise<Running>,
): Promise<number> {
  const logger = createLogger(settings.logLevel ?? 'info');
  const { labelWarnings } = await import('./run.js');
  for (const warning of [...warnings, ...labelWarnings(settings.label ?? {}, 'label')]) logger.warn(warning);

  const crash = (error: unknown): never => {
    logger.fatal({ err: error }, 'internal error; ending');
    process.exit(exitCodes.internal);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);

  const abort = new AbortController();
  const asked = new Promise<void>((resolve) => abort.signal.addEventListener('abort', () => resolve()));
  const end = (signal: NodeJS.Signals): void => {
    if (abort.signal.aborted) {
      logger.warn({ signal }, 'asked again to end; ending at once');
      process.exit(exitCodes.failed);
    }
    logger.info({ signal }, 'ending');
    abort.abort(new HivepulseError('CLOSED', role, `${role} was asked to end by ${signal}.`));
    setTimeout(() => {
      logger.error(`not closed ${defaults.shutdownMs} ms after ${signal}; ending anyway`);
      process.exit(exitCodes.failed);
    }, defaults.shutdownMs).unref();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);

  let service: Running;
  try {
    service = await start({ logger, signal: abort.signal });
  } catch (error) {
    if (abort.signal.aborted) return exitCodes.ok;
    if (error instanceof HivepulseError) logger.fatal({ code: error.code, subject: error.subject }, explain(error));
    else logger.fatal({ err: error }, 'could not start: internal error');
    return exitCodeOf(error);
  }
  logger.info({ role: role === 'hive' ? 'hive' : 'queen', url: service.url }, 'listening');
  const blocked = blockedPortText(Number(new URL(service.url).port));
  if (blocked !== null) logger.warn(blocked);
  if (role !== 'hive') logger.info(`the page is at ${shownUrl(service.url)}/`);
  await asked;
  try {
    await service.close();
  } catch (error) {
    logger.error({ err: error }, 'closing failed');
    return exitCodes.failed;
  }
  return exitCodes.ok;
}
