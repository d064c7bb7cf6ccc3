/** The narrowest of phones: names as long as they may be, and lists without a head to sort by. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { Queen } from '../../../lib/daemon/queen.js';
import { phone } from '../../harness/browser.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const narrow = { ...phone, viewport: { width: 320, height: 640 } };
/** Without a place where a line could be broken. */
const long = (name: string, length: number) => `${name}-${'x'.repeat(length - name.length - 1)}`;
const hiveId = long('host', 128);
const model = long('model', 512);
const gpuName = long('NVIDIA', 96);

/** A host with names as long as the contract lets them be, which is heard each second; one of its GPUs is stalled. */
function longNames(queen: Queen): { readonly worker: string; readonly gpu: string } {
  const hive = new SimulatedHive({ id: hiveId, seed: 5, workers: 3, gpus: ['h100', 'a100'], asksEngines: true });
  hive.stallGpu(1);
  const labels = { [long('pool', 63)]: long('value', 256) };
  const send = () => {
    const said = hive.nextHeartbeat();
    const outcome = queen.registry.heartbeat({
      ...said,
      hive: { ...said.hive, hostname: long('name', 253), labels },
      gpus: said.gpus.map((gpu) => ({ ...gpu, name: gpuName })),
      workers: said.workers.map((worker, index) => {
        const [group, instance] = [long('group', 128), long(`w${index}`, 128)];
        return { ...worker, id: `${group}/${instance}`, group, instance, name: long('pod', 200), model, labels };
      }),
    });
    if (!outcome.accepted) throw new Error(outcome.message);
  };
  send();
  const sending = setInterval(send, 1000);
  use.defer(async () => clearInterval(sending));
  use.defer(() => hive.close());
  const worker = queen.registry.workers({ hive: hiveId }).items[0]!;
  return { worker: worker.key, gpu: worker.gpus[0]!.uuid };
}

/** Runs in the page: how much is to be scrolled sideways, px. */
const sideways = () =>
  Math.max(
    window.innerWidth - screen.width,
    ...Array.from(
      document.querySelectorAll('html, main, .panel, dialog'),
      (element) => element.scrollWidth - element.clientWidth,
    ),
  );

const figures = async (page: Page, row: string, label: string) =>
  (await page.locator(`${row} [data-label="${label}"] .value`).allInnerTexts()).map(Number.parseFloat);

describe('320 px', () => {
  it('long names of hosts, models and GPUs are in every view without sideways scrolling', async () => {
    const queen = await use.queen();
    const { worker, gpu } = longNames(queen);
    const page = await use.open(queen.url, narrow);
    for (const [search, ready] of [
      ['', '.card .gpu-row'],
      ['?as=table', '.hive-row'],
      ['?as=table&group=model', '.group-heading'],
      ['?as=heat', '.heat-said'],
      ['?group=gpu', '.group-heading'],
      [`?group=label:${long('pool', 63)}`, '.group-heading'],
      ['?view=gpus', '.gpu-table-row'],
      ['?view=gpus&group=model', '.group-heading'],
      ['?view=workers', '.worker-row'],
      ['?view=workers&columns=load', '.worker-row'],
      [`?view=workers&model=${model}`, '.worker-row'],
      [`?view=workers&compare=worker:${worker}`, '.compare .u-over'],
      ['?view=models', '.model-row'],
      ['?view=events', '.event-row'],
      ['?view=place&vram=1', '.candidates li'],
      ['?view=place&vram=900', '.refusals li, details'],
      [`?show=worker:${worker}`, '.panel .u-over'],
      [`?show=hive:${hiveId}`, '.panel .u-over'],
      [`?show=gpu:${hiveId}/${gpu}`, '.panel .u-over'],
    ] as const) {
      await page.goto(`${queen.url}/${search}`);
      await page.waitForSelector(ready, { timeout: 30_000 });
      expect(await page.evaluate(sideways), search).toBeLessThanOrEqual(0);
      expect(await seriousFaults(page), search).toEqual([]);
    }
    // What asks before it does something says the name too.
    await page.goto(`${queen.url}/?show=hive:${hiveId}`);
    await page.locator('.panel button', { hasText: 'Cordon' }).click();
    await page.waitForSelector('dialog.confirm');
    expect(await page.evaluate(sideways)).toBeLessThanOrEqual(0);
  }, 180_000);

  it('lists are sorted on a phone by what they show, either way round, and stay so', async () => {
    const queen = await use.queen();
    await use.fleet(queen, [
      { id: 'serial', seed: 5, workers: 3, gpus: ['h100', 'a100'] },
      { id: 'second', seed: 9, workers: 5, gpus: ['l40s', 'l40s'] },
      { id: 'third', seed: 11, workers: 2, gpus: ['l4', 'a100'] },
    ]);
    const page = await use.open(queen.url, narrow);
    for (const [search, row, column, label] of [
      ['view=workers', '.worker-row', 'Memory', 'Memory'],
      ['view=gpus', '.gpu-table-row', 'VRAM', 'VRAM'],
      ['as=table', '.hive-row', 'Workers', 'Workers'],
      ['view=models', '.model-row', 'Replicas', 'Replicas'],
    ] as const) {
      await page.goto(`${queen.url}/?${search}`);
      await page.waitForSelector(row);
      const sorted = async (sign: 1 | -1) => {
        const now = await figures(page, row, label);
        return now.length > 1 && now.every((value, at) => at === 0 || (value - now[at - 1]!) * sign >= 0);
      };
      await page.locator('.phone-sort select').selectOption({ label: column });
      await expect.poll(() => sorted(-1), { message: `${search} falls` }).toBe(true);
      await page.locator('.phone-sort button').tap();
      await expect.poll(() => sorted(1), { message: `${search} rises` }).toBe(true);
      await page.goto(`${queen.url}/?${search}`);
      await page.waitForSelector(row);
      await expect.poll(() => sorted(1), { message: `${search} after a reload` }).toBe(true);
    }
  }, 120_000);
});
