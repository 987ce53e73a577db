/** Installs the dependencies when they are missing or are not those of package-lock.json. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { linkLibraries } from './servers/postgres-binaries.mjs';
import { PROJECT, readJson } from './servers/records.mjs';

const OLDEST_NODE = [20, 19];

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean, link?: boolean }} LockedPackage */

export async function ensureInstalled() {
  if (!isInstalled()) {
    console.error('Installing the dependencies (npm ci), once:');
    await npmCi();
  }
  linkLibraries();
}

export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  console.error(
    `Node ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.version}. Install it and run the command again.`,
  );
  process.exit(1);
}

/** npm keeps a lock file of what it installed, and writes it last. */
function isInstalled() {
  /** @type {Record<string, LockedPackage> | undefined} */
  const wanted = readJson(join(PROJECT, 'package-lock.json'))?.packages;
  /** @type {Record<string, LockedPackage> | undefined} */
  const installed = readJson(join(PROJECT, 'node_modules', '.package-lock.json'))?.packages;
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(
    ([path, { version, integrity, optional, devOptional }]) =>
      path === '' ||
      optional || // those of other platforms are not installed
      devOptional ||
      (installed[path]?.version === version && installed[path]?.integrity === integrity),
  );
}

async function npmCi() {
  // n.b. with NODE_ENV=production npm would leave out what building needs
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  /** @type {import('node:child_process').SpawnOptions} */
  const options = { cwd: PROJECT, stdio: ['ignore', 2, 2] };
  const child = npm?.endsWith('.js')
    ? spawn(process.execPath, [npm, ...args], options)
    : spawn('npm', args, { ...options, shell: process.platform === 'win32' });
  const code = await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  if (code !== 0) throw new Error(`npm ci failed (exit code ${code}): see its output above.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await ensureInstalled();
