import { describe, expect, test } from 'vitest';
import { askNames, clientFlags, completedNames } from '../../lib/cli/names.js';
import { HivepulseClient } from '../../lib/client/client.js';
import { sampleFleet } from './fleet.js';

const { items } = sampleFleet();
const signal = new AbortController().signal;

function clientOf(answers: Readonly<Record<string, unknown>>): HivepulseClient {
  const answer = async (url: string) => {
    const path = new URL(url).pathname;
    return Response.json(answers[path] ?? { items: [], nextCursor: null });
  };
  return new HivepulseClient({ url: 'http://queen.example', fetch: answer as typeof fetch });
}

describe('names that the shell completes', () => {
  test('are those of the fleet, each once, in order', async () => {
    const client = clientOf({
      '/v1/hives': { items: items.hives, nextCursor: null },
      '/v1/workers': { items: items.workers, nextCursor: null },
    });
    expect(await askNames(client, 'hives', signal)).toEqual(['alpha', 'beta', 'gamma']);
    expect(await askNames(client, 'labels', signal)).toEqual(expect.arrayContaining(['rack=12', 'zone=a']));
    const models = await askNames(client, 'models', signal);
    expect(new Set(models).size).toBe(models.length);
    expect(await askNames(client, 'workers', signal)).toContain(items.workers[0]?.id);
    expect(await askNames(client, 'causes', signal)).toEqual([]);
  });

  test('a name that a shell could take for more than a name is left out', async () => {
    const ids = ['a', 'b c', '$(reboot)', '`x`', "it's", '\u001b[2J', 'a;b', 'x\ny', 'm/Qwen-3:8b', ''];
    const client = clientOf({ '/v1/hives': { items: ids.map((id) => ({ id })), nextCursor: null } });
    expect(await askNames(client, 'hives', signal)).toEqual(['a', 'm/Qwen-3:8b']);
  });

  test('of a line only the flags that say which queen count', () => {
    const line = ['hivepulse', 'workers', '--state', 'busy', '--queen', 'a:1', '--token-file=t', '--model'];
    expect(clientFlags(line)).toEqual(['--queen', 'a:1', '--token-file=t']);
    expect(clientFlags(['hivepulse', 'hives', '--queen'])).toEqual([]);
  });

  test('a deadline that is over gives nothing, whatever the queen does', async () => {
    expect(await completedNames('hives', ['--queen', '127.0.0.1:9'], AbortSignal.timeout(1))).toEqual([]);
    expect(await completedNames('hives', ['--queen', 'no address'])).toEqual([]);
  });
});
