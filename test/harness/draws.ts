/** Values that are drawn of each reader: so many in `npm test`, 20,000 in `.ci/run`, 400,000 each night. */
export const readerDraws = Number(process.env.HIVEPULSE_DRAWS ?? 2000);

/** How often a property is drawn that asks for so many; under `npm run test:mutation` HIVEPULSE_MUTATION_DRAWS at most. */
export const drawn = (runs: number): number => Math.min(runs, Number(process.env.HIVEPULSE_MUTATION_DRAWS ?? runs));

/** Of so many draws of a property that is dear: a tenth in `npm test`, all in `.ci/run`. */
export const portion = (runs: number): number => Math.ceil(runs * Math.min(1, readerDraws / 20_000));
