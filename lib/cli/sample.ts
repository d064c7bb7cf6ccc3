import { type Command, Option } from 'commander';
import { outputWidth, printJson, printLines, wantsColours, writeNote } from './output.js';
import { addSettings, settingsFor } from './settings.js';

/** Rates need two passes so far apart. */
const apartMs = 1000;
/** After so long it shows what there is. */
const ratesDeadlineMs = 8000;
/** A driver that sleeps takes seconds for each GPU. */
const gpuDeadlineMs = 20_000;

export function register(program: Command): void {
  const command = program
    .command('sample')
    .summary('show this host once, without a queen')
    .description(
      'Samples this host twice, a second apart, and shows what a hive would send. Needs no queen and no daemon.',
    )
    .addOption(new Option('--json', 'the whole snapshot as one JSON document').helpGroup('Output:'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse sample
  $ hivepulse sample --json | jq '.workers[] | {id, cpuPercent, vramUsedBytes}'
  $ hivepulse sample --gpu nvidia-smi`,
    );
  addSettings(command, 'sample').action(async (flags: { json?: boolean }) => {
    const { settings, warnings } = await settingsFor(command, 'sample');
    for (const warning of warnings) writeNote(warning);
    const [{ openMachine }, { assembleSampler }, { createGpuSource }, { snapshotLines }, { defined }] =
      await Promise.all([
        import('../sampling/open-machine.js'),
        import('../sampling/create.js'),
        import('../gpu/source.js'),
        import('./snapshot.js'),
        import('../util/defined.js'),
      ]);
    const { root, procRoot, sysRoot, allGpus, watch, auto, commands, gpu, gpuIsolation, reader, runtimeDir } = settings;
    const machine = await openMachine({ root, procRoot, reader });
    const source = createGpuSource({
      ...defined({ gpu, isolation: gpuIsolation, allGpus }),
      roots: defined({ sys: sysRoot, proc: procRoot }),
      intervalMs: apartMs,
    });
    const sampler = assembleSampler(machine, {
      ...defined({ procRoot, sysRoot, watch, auto, commands, runtimeDir }),
      gpu: source,
      intervalMs: apartMs,
    });
    try {
      const beganMs = performance.now();
      await sampler.sample();
      const waiting = (): boolean => {
        const passedMs = performance.now() - beganMs;
        return passedMs < apartMs || (sampler.gpu.latest().status === 'initializing' && passedMs < gpuDeadlineMs);
      };
      while (waiting()) await new Promise((resolve) => setTimeout(resolve, 50));
      let snapshot = await sampler.sample();
      // On a machine that is very busy a pass may come too late for its rates; another one has them.
      while (snapshot.host.cpuPercent === null && performance.now() - beganMs < ratesDeadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, apartMs));
        snapshot = await sampler.sample();
      }
      if (flags.json) printJson(snapshot);
      else printLines(snapshotLines(snapshot, outputWidth(), wantsColours()));
    } finally {
      await sampler.close();
    }
  });
}
