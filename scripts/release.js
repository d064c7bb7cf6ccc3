// `npm run release:pack`: what a release publishes, made once, in release/: the checked tarball, its SBOM, its checksums and the
// notes from CHANGELOG.md. Needs all prebuilt binaries (`npm run build:prebuilds`). On GitHub the tag must name the version.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { packAndJudge } from './check-package.js';
import { isMain, read, root } from './run.js';

const out = join(root, 'release');

/** The section of a version in a changelog, without its heading; null where there is none or it says nothing. */
export function changesOf(changelog, version) {
  const escaped = version.replaceAll('.', '\\.');
  const match = new RegExp(`^## \\[${escaped}\\].*$\\n([\\s\\S]*?)(?=^## |^\\[.+\\]: |(?![\\s\\S]))`, 'm').exec(
    changelog,
  );
  const text = match?.[1].trim() ?? '';
  return text === '' ? null : text;
}

/** Why this version must not be released from here. */
export function judgeRelease({ version, changelog, tag }) {
  return [
    ...(changesOf(changelog, version) === null ? [`CHANGELOG.md has no section [${version}], or an empty one`] : []),
    ...(tag !== undefined && tag !== `v${version}` ? [`the tag is ${tag}, the version is ${version}`] : []),
  ];
}

/** Provenance ties a package to the repository that its package.json names: the one that builds it. */
function nameRepository(environment) {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = environment;
  const path = join(root, 'package.json');
  const text = readFileSync(path, 'utf8');
  if (server === undefined || repository === undefined) return () => {};
  const manifest = { ...JSON.parse(text), repository: { type: 'git', url: `git+${server}/${repository}.git` } };
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  return () => writeFileSync(path, text);
}

async function main() {
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
  const tag = process.env.GITHUB_REF_TYPE === 'tag' ? process.env.GITHUB_REF_NAME : undefined;
  const wrong = judgeRelease({ version, changelog, tag });
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  const restore = nameRepository(process.env);
  let tarball;
  try {
    const packed = await packAndJudge(out, { release: true });
    tarball = join(out, 'hivepulse.tgz');
    renameSync(packed.tarball, tarball);
    wrong.push(...packed.problems);
  } finally {
    restore();
  }
  const bill = join(out, 'hivepulse.cdx.json');
  const contents = JSON.parse(read('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev']));
  // npm names the root for the directory that it happens to be in.
  contents.metadata.component.name = name;
  writeFileSync(bill, `${JSON.stringify(contents, null, 2)}\n`);
  const sums = [tarball, bill].map((file) => {
    const hash = createHash('sha256').update(readFileSync(file)).digest('hex');
    return `${hash}  ${basename(file)}\n`;
  });
  writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
  writeFileSync(join(out, 'notes.md'), `${changesOf(changelog, version) ?? ''}\n`);
  process.stdout.write(sums.join(''));
  console.log(`release: ${name} ${version}, ${contents.components.length} components in its SBOM`);
  for (const text of wrong) console.error(`release: ${text}`);
  return wrong.length === 0 ? 0 : 1;
}

if (isMain(import.meta)) process.exit(await main());
