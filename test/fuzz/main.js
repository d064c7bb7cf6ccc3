// `npm run test:fuzz -- [--seconds 15] [name...]`: builds each test/fuzz/<name>_fuzz.cc with libFuzzer, ASan and UBSan and runs
// it from the kept corpus. A finding is left in build/fuzz/ and ends with status 1. Needs clang and libclang-rt.
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { at, must, run } from '../../scripts/run.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '15' } },
});

const names = readdirSync(at('test/fuzz'))
  .filter((file) => file.endsWith('_fuzz.cc'))
  .map((file) => file.slice(0, -'_fuzz.cc'.length))
  .filter((name) => positionals.length === 0 || positionals.includes(name));
if (names.length === 0) {
  console.error(`fuzz: no target is named ${positionals.join(' or ')}`);
  process.exit(1);
}

let status = 0;
for (const name of names) {
  const directory = at('build/fuzz', name);
  const corpus = join(directory, 'corpus');
  const artifacts = join(directory, 'found');
  for (const path of [corpus, artifacts]) mkdirSync(path, { recursive: true });
  const kept = at('test/fuzz/corpus', name);
  if (existsSync(kept)) cpSync(kept, corpus, { recursive: true });
  const program = join(directory, 'fuzz');
  const flags = ['-g', '-O1', '-std=c++17', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'];
  must('clang++', [...flags, '-o', program, `test/fuzz/${name}_fuzz.cc`]);
  const limits = [`-max_total_time=${values.seconds}`, '-max_len=4096', '-timeout=5', '-print_final_stats=1'];
  const { status: ended } = run(program, [...limits, `-artifact_prefix=${artifacts}/`, corpus]);
  if (ended !== 0) {
    console.error(`fuzz: ${name} found something; it is in ${artifacts}`);
    status = 1;
  }
}
process.exit(status);
