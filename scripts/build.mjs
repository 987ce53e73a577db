/** `npm run build`, left out when nothing has changed since the last one. */
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nodeModule, runNode } from './run.mjs';
import { PROJECT } from './servers/records.mjs';

const SOURCES = ['lib', 'sample-app', 'nest-cli.json', 'tsconfig.json', 'package.json', 'package-lock.json'];
const STAMP = join(PROJECT, 'dist', '.built');

/**
 * @param {(run: import('./run.mjs').Run) => void} onStart so that the caller can interrupt
 * @returns {Promise<boolean>} true: it was built now
 */
export async function ensureBuilt(onStart) {
  const begin = Date.now();
  const builtAt = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (SOURCES.every((source) => newest(join(PROJECT, source)) < builtAt)) return false;
  for (const project of ['lib', 'sample-app']) {
    const run = runNode([nodeModule('@nestjs/cli/bin/nest.js'), 'build', project], { wholeGroup: true });
    onStart(run);
    const code = await run.exitCode;
    if (code !== 0) throw new Error(`nest build ${project} failed: see its output above.`);
  }
  stamp(begin);
  return true;
}

/**
 * Of a file, or of all that is in a folder; a folder's own time tells of what was deleted.
 * @param {string} path
 * @returns {number}
 */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.mtimeMs ?? 0;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((entry) => newest(join(path, entry))));
}

/** @param {number} begin n.b. not the end: a file saved while building counts as newer */
function stamp(begin) {
  mkdirSync(dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, '');
  utimesSync(STAMP, new Date(begin), new Date(begin));
}
