import type { Command } from 'commander';
import { defaults } from '../contract/defaults.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { writeText } from './output.js';

interface ControlFlags {
  readonly port: string;
  readonly runtimeDir?: string;
}

/** A release of the GPUs waits for the driver, ms. */
const answerMs = 60_000;

/** Asks the hive of this host over its control socket. Whoever may write the socket may ask. */
async function ask(flags: ControlFlags, path: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const [{ Client }, { join }, { defaultRuntimeDir }, { isTrustedDirectory }] = await Promise.all([
    import('undici'),
    import('node:path'),
    import('../workers/records.js'),
    import('../io/untrusted.js'),
  ]);
  const runtimeDir = flags.runtimeDir ?? defaultRuntimeDir();
  const socketPath = join(runtimeDir, `hive-${flags.port}.sock`);
  await isTrustedDirectory(runtimeDir);
  const client = new Client('http://hive', {
    connect: { socketPath },
    headersTimeout: answerMs,
    bodyTimeout: answerMs,
  });
  try {
    const { statusCode, body: answer } = await client.request({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (statusCode !== 200) {
      const { detail } = JSON.parse(text) as { detail?: string };
      // With the status, by which the exit code tells a refusal from a hive that does not answer.
      throw Object.assign(new HivepulseError('REQUEST_FAILED', socketPath, detail ?? text), { status: statusCode });
    }
  } catch (error) {
    if (error instanceof HivepulseError) throw error;
    const code = systemCode(error) ?? (error as Error).message;
    const fix =
      code === 'EACCES'
        ? 'ask as the user that the hive runs as'
        : 'is a hive running here? --port names another than the default';
    throw new HivepulseError(
      'REQUEST_FAILED',
      socketPath,
      `The hive at ${socketPath} does not answer (${code}): ${fix}.`,
      {
        cause: error,
      },
    );
  } finally {
    await client.close();
  }
}

const withPlace = (command: Command): Command =>
  command
    .option('--port <port>', 'port of the hive', String(defaults.hivePort))
    .option('--runtime-dir <dir>', 'where its control socket is (default: /run/hivepulse, else per user)');

/** Adds `hivepulse drain`, `hivepulse undrain` and `hivepulse release-gpus`. */
export function register(program: Command): void {
  withPlace(program.command('drain'))
    .summary('take this host out of scheduling; its workers keep running')
    .description(
      'Takes the host of a running hive out of all scheduling. Its workers keep running and are still shown.',
    )
    .action(async (flags: ControlFlags) => {
      await ask(flags, '/v1/drain', { draining: true });
      writeText('draining: no new work comes here; hivepulse undrain takes it back\n');
    });
  withPlace(program.command('undrain'))
    .summary('take this host back into scheduling')
    .description('Takes the host of a running hive back into scheduling.')
    .action(async (flags: ControlFlags) => {
      await ask(flags, '/v1/drain', { draining: false });
      writeText('ready\n');
    });
  withPlace(program.command('release-gpus'))
    .summary('release the GPU driver for a while, so that a GPU can be reset')
    .description(
      'Has the hive release the GPU driver, so that a GPU can be reset or reconfigured, and open it again afterwards.',
    )
    .argument('[seconds]', 'for how long, at most 3600', '60')
    .action(async (seconds: string, flags: ControlFlags) => {
      await ask(flags, '/v1/gpu/release', { seconds: Number(seconds) });
      writeText(`released for ${seconds} s\n`);
    });
}
