import {
  contract,
  createSampler,
  type ErrorCode,
  type HivepulseClient,
  HivepulseError,
  type Snapshot,
  startQueen,
} from 'hivepulse';
import { HivepulseClient as SameClient } from 'hivepulse/client';
import type { Heartbeat } from 'hivepulse/contract';

export async function program(): Promise<readonly string[]> {
  await using queen = await startQueen({ port: 0 });
  const client: HivepulseClient = new SameClient({ url: queen.url });
  const sampler = await createSampler({ gpu: 'none' });
  const snapshot: Snapshot = await sampler.sample();
  const cpu: number | null | undefined = snapshot.workers[0]?.cpuPercent;
  // @ts-expect-error what is not known is null: it must not pass for a number
  const wrong: number = snapshot.workers[0]!.cpuPercent;
  // @ts-expect-error no such option
  await createSampler({ gpus: 'none' });
  try {
    const { items } = await client.hives({ limit: 10 });
    return items.map(({ id, liveness }) => `${id} ${liveness} ${cpu ?? 'unknown'} ${wrong}`);
  } catch (error) {
    if (error instanceof HivepulseError) {
      const code: ErrorCode = error.code;
      return [code];
    }
    throw error;
  }
}

export const schema: Heartbeat['schema'] = 1;
export const schemas: object = contract;
