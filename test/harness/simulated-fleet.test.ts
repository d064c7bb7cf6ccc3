import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Compile } from 'typebox/compile';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Heartbeat } from '../../lib/contract/heartbeat.js';
import { assemble } from '../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../lib/gpu/identities.js';
import { toReport } from '../../lib/gpu/nvidia/report.js';
import { createFleet, SimulatedHive } from './simulated-fleet.js';
import type { GpuKind } from './simulated-host.js';

const heartbeatSchema = Compile(Heartbeat);
const kinds: readonly GpuKind[] = ['h100', 'h200', 'a100', 'l40s', 'l4', 'rtx4090', 'gb10'];

/** A queen that answers as told and keeps what it heard. */
async function listener(answer: (heartbeat: Heartbeat, count: number) => { status: number; body: unknown }) {
  const heard: Heartbeat[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const heartbeat = JSON.parse(Buffer.concat(chunks).toString()) as Heartbeat;
      heard.push(heartbeat);
      const { status, body } = answer(heartbeat, heard.length);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

const accept = (ackEventSeq: number) => ({
  status: 200,
  body: { accepted: true, queenId: 'q', ackEventSeq, intervalMs: 100 },
});

describe('simulated hives', () => {
  it('every heartbeat is one that the contract allows, whatever has happened on the host', () => {
    const hive = new SimulatedHive({ id: 'a', seed: 7, workers: 12, gpus: kinds });
    const acts = [
      () => {},
      () => hive.stallGpu(0),
      () => hive.loseGpu(1),
      () => hive.host.setGpuHealth(2, 'degraded'),
      () => hive.host.setGpuHealth(3, 'resetRequired'),
      () => hive.killWorker(undefined, 'oom'),
      () => hive.host.oomKill(hive.workerIds[0]!),
      () => void hive.addWorker(),
      () => {
        hive.host.treeReadable = false;
      },
      () => {
        hive.host.treeReadable = true;
        hive.recoverGpu(0);
      },
      () => hive.restart(),
    ];
    for (const act of acts) {
      act();
      for (let i = 0; i < 5; i++) {
        const heartbeat = hive.nextHeartbeat();
        expect([...heartbeatSchema.Errors(heartbeat)]).toEqual([]);
        for (const gpu of heartbeat.gpus) {
          if (gpu.memoryUsedBytes !== null) {
            expect(gpu.memoryUsedBytes).toBeLessThanOrEqual(gpu.memoryTotalBytes! - (gpu.memoryReservedBytes ?? 0));
          }
        }
      }
    }
  });

  it('a stalled GPU has null values with a fault, and its workers are unknown', () => {
    const hive = new SimulatedHive({ id: 'a', seed: 3, workers: 4, gpus: ['h100'] });
    hive.nextHeartbeat();
    hive.stallGpu(0);
    const heartbeat = hive.nextHeartbeat();
    expect(heartbeat.gpus[0]).toMatchObject({ health: 'stalled', memoryUsedBytes: null, utilizationPercent: null });
    expect(heartbeat.faults).toContainEqual(expect.objectContaining({ code: 'NVML_STALLED', field: 'gpus' }));
    expect(heartbeat.workers.map((worker) => worker.state)).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
    expect(heartbeat.workers.every((worker) => worker.vramUsedBytes === null && worker.cpuPercent !== null)).toBe(true);
  });

  it.each([
    ['lost', { handleCode: 15 }],
    ['resetRequired', { handleCode: 16 }],
    ['degraded', { values: { memoryTotalBytes: 1, eccUncorrected: 1, remapPending: 1 } }],
  ] as const)('a GPU that is %s has the faults that the reader gives it, to the word', (health, raw) => {
    const hive = new SimulatedHive({ id: 'a', seed: 3, workers: 0, gpus: ['h100'] });
    hive.host.setGpuHealth(0, health);
    const { gpus, faults } = hive.nextHeartbeat();
    const { uuid, index, name, pciBusId } = gpus[0]!;
    const identity = { index, uuid, name: name!, busId: pciBusId!, parentUuid: '', computeCapability: '9.0' };
    const device = { ...identity, handleCode: 0, values: {}, codes: {}, ...raw };
    const real = assemble(toReport({ driverVersion: '', devices: [device], processes: [] }), new GpuIdentities());
    expect(real.devices[0]!.health).toBe(health);
    expect(real.faults.length).toBeGreaterThan(0);
    expect(faults.filter(({ source }) => source === 'gpu')).toEqual(real.faults);
  });

  it('the same seed gives the same fleet; another gives another', () => {
    const now = () => 1_700_000_000_000;
    const heartbeats = (seed: number) => {
      const hive = new SimulatedHive({ id: 'a', seed, workers: 6, gpus: 4, now });
      return JSON.stringify([hive.nextHeartbeat(), hive.nextHeartbeat(), hive.nextHeartbeat()]);
    };
    expect(heartbeats(5)).toBe(heartbeats(5));
    expect(heartbeats(5)).not.toBe(heartbeats(6));
  });

  it('events are sent again until they are acknowledged, and a refused heartbeat is counted', async () => {
    const queen = await listener((_, count) => (count === 1 ? { status: 503, body: {} } : accept(count === 2 ? 0 : 2)));
    const hive = new SimulatedHive({ id: 'a', seed: 1, workers: 3, gpus: 1, queenUrls: [queen.url], intervalMs: 100 });
    onTestFinished(() => hive.close());
    const killed = hive.killWorker(undefined, 'oom');
    for (let i = 0; i < 4; i++) await hive.sendHeartbeat();
    expect(queen.heard.map((heartbeat) => heartbeat.events.map((event) => event.seq))).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
      [],
    ]);
    expect(queen.heard[0]!.events.map((event) => [event.kind, event.workerId])).toEqual([
      ['oomKill', killed],
      ['workerExited', killed],
    ]);
    expect(queen.heard.map((heartbeat) => heartbeat.seq)).toEqual([1, 2, 3, 4]);
    expect(hive.counts).toMatchObject({ sent: 4, accepted: 3, failed: 1, lastStatus: 200 });
  });

  it('a fleet sends from every hive, and falls silent when closed', async () => {
    const queen = await listener(() => accept(0));
    const fleet = createFleet({ hives: 5, workersPerHive: 2, gpusPerHive: 1, queenUrls: [queen.url], intervalMs: 100 });
    onTestFinished(() => fleet.close());
    fleet.start();
    await expect
      .poll(
        () => new Set(queen.heard.filter((heartbeat) => heartbeat.seq >= 3).map((heartbeat) => heartbeat.hive.id)).size,
        {
          timeout: 10_000,
        },
      )
      .toBe(5);
    await fleet.close();
    const sent = fleet.hives.reduce((sum, hive) => sum + hive.counts.sent, 0);
    expect(queen.heard.length).toBe(sent);
    expect(new Set(fleet.hives.map((hive) => hive.incarnation)).size).toBe(5);
  });
});
