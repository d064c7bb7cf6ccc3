import type { Finding } from '../../../lib/doctor/finding.js';
import type { useHarness } from '../../harness/harness.js';

/** `hivepulse doctor` as it is run: its findings, and how it ended. An emulated CPU takes a minute for it. */
export async function runDoctor(
  harness: ReturnType<typeof useHarness>,
  under: readonly string[] = [],
): Promise<{ code: number | string; findings: readonly Finding[] }> {
  const process = harness().cli(['doctor', '--json'], { under });
  const code = await process.ended(300_000);
  // Warnings, if any, stand before the document.
  const lines = process.lines.slice(process.lines.indexOf('{'));
  const { findings } = JSON.parse(lines.join('\n')) as { findings: readonly Finding[] };
  return { code, findings };
}
