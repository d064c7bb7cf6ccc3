import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Assembled, assemble } from '../../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { findHelper } from '../../../lib/gpu/nvidia/helper.js';
import { NvidiaSmi, type NvidiaSmiFailure } from '../../../lib/gpu/nvidia/nvidia-smi.js';
import { type NvmlMessage, parseNvmlLine } from '../../../lib/gpu/nvidia/nvml-lines.js';
import { toReport } from '../../../lib/gpu/nvidia/report.js';
import { type FakeGpuHost, fakeNvidiaSmi } from '../../fakes/scenario.js';
import { waitFor } from '../../harness/wait.js';

/** The first conclusive word of the native reader over a machine. */
export async function nvmlMessage(host: Pick<FakeGpuHost, 'env'>): Promise<NvmlMessage> {
  const child = spawn(findHelper()!, ['--interval-ms', '50'], {
    env: { ...process.env, ...host.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // It may have ended by itself already.
  child.stdin.on('error', () => undefined);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const message = parseNvmlLine(line);
      if (message && ['report', 'failed', 'unavailable'].includes(message.type)) return message;
    }
    throw new Error('hivepulse-gpu ended without a report');
  } finally {
    child.stdin.end('close\n');
    await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(null)));
  }
}

/** One pass through NVML. */
export async function nvmlOnce(host: FakeGpuHost): Promise<Assembled> {
  const message = await nvmlMessage(host);
  if (message.type !== 'report') throw new Error(`no report: ${JSON.stringify(message)}`);
  return assemble(toReport(message), new GpuIdentities());
}

/** One pass through nvidia-smi. */
export async function nvidiaSmiOnce(host: FakeGpuHost): Promise<Assembled | NvidiaSmiFailure> {
  const identities = new GpuIdentities();
  const smi = new NvidiaSmi(identities, {
    binary: fakeNvidiaSmi,
    env: { ...process.env, ...host.env },
    procDriver: host.procDriver,
  });
  smi.start();
  try {
    const { report, failure } = await waitFor(() => (smi.state.report || smi.state.failure ? smi.state : undefined), {
      everyMs: 5,
    });
    return report ? assemble(report, identities) : failure!;
  } finally {
    await smi.stop();
  }
}
