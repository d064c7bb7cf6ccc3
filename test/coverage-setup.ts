/**
 * Under `npm run coverage` every process that a test starts writes V8's counts on its end. Set here and not for vitest as a
 * whole: its workers count by themselves, and taking the counts twice would halve them.
 */
if (process.env.HIVEPULSE_V8_COVERAGE !== undefined) process.env.NODE_V8_COVERAGE = process.env.HIVEPULSE_V8_COVERAGE;
