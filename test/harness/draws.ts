/** How often a property is drawn that asks for so many; under `npm run test:mutation` HIVEPULSE_MUTATION_DRAWS at most. */
export const drawn = (runs: number): number => Math.min(runs, Number(process.env.HIVEPULSE_MUTATION_DRAWS ?? runs));
