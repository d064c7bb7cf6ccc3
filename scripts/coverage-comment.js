// `npm run coverage:comment`: puts coverage/summary.md on the pull request whose workflow runs it, over the one it left there
// before. Needs GitHub's environment: GITHUB_EVENT_PATH, GITHUB_REPOSITORY, GITHUB_TOKEN.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const mark = '<!-- hivepulse coverage -->';

/** Writes `text` to pull request `number`. Returns the comment's address, or null where the token may not (a fork's). */
export async function comment(text, { api, repository, number, token, request = fetch }) {
  const headers = { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json' };
  const ask = async (method, path, body) => {
    const init = { method, headers, signal: AbortSignal.timeout(30_000) };
    const response = await request(`${api}/repos/${repository}${path}`, {
      ...init,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.status === 403) return null;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const body = { body: `${mark}\n${text}` };
  for (let page = 1; ; page++) {
    const comments = await ask('GET', `/issues/${number}/comments?per_page=100&page=${page}`);
    if (comments === null) return null;
    const own = comments.find((entry) => entry.body?.startsWith(mark));
    if (own) return (await ask('PATCH', `/issues/comments/${own.id}`, body))?.html_url ?? null;
    if (comments.length < 100) break;
  }
  return (await ask('POST', `/issues/${number}/comments`, body))?.html_url ?? null;
}

async function main() {
  const { GITHUB_EVENT_PATH: event, GITHUB_REPOSITORY: repository, GITHUB_TOKEN: token } = process.env;
  if (!event || !repository || !token) {
    console.error(
      'coverage:comment: runs in a workflow: GITHUB_EVENT_PATH, GITHUB_REPOSITORY and GITHUB_TOKEN are unset',
    );
    return 1;
  }
  const number = JSON.parse(readFileSync(event, 'utf8')).pull_request?.number;
  if (number === undefined) {
    console.error('coverage:comment: this run is not for a pull request');
    return 1;
  }
  const api = process.env.GITHUB_API_URL ?? 'https://api.github.com';
  const text = readFileSync(join(root, 'coverage/summary.md'), 'utf8');
  const url = await comment(text, { api, repository, number, token });
  console.log(`coverage:comment: ${url ?? 'the token may not comment (a fork?); the summary is on the job'}`);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(await main());
