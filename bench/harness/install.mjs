/** Fills `bench/node_modules`. Only Node's own modules: it runs before anything is installed. */
import { spawn } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const BENCH = join(import.meta.dirname, '..');
const LOCK = join(BENCH, 'package-lock.json');
/** What was installed last. */
const INSTALLED = join(BENCH, 'node_modules', '.installed-lock.json');

/** Installs the other libraries when they are missing or are not those of package-lock.json. */
export async function ensureOthersInstalled() {
  if (read(INSTALLED) === read(LOCK)) return;
  console.error('Installing the libraries to compare with (npm ci in bench/):');
  const args = ['ci', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  /** @type {import('node:child_process').SpawnOptions} */
  const options = { cwd: BENCH, stdio: ['ignore', 2, 2] };
  const child = npm?.endsWith('.js')
    ? spawn(process.execPath, [npm, ...args], options)
    : spawn('npm', args, { ...options, shell: process.platform === 'win32' });
  const code = await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  if (code !== 0) throw new Error(`npm ci in bench/ failed (exit code ${code}): see its output above.`);
  copyFileSync(LOCK, INSTALLED);
}

/**
 * Puts nestjs-events where a user has it: beside the other libraries, as a copy of what would be published. So all
 * contestants run on one copy of Nest, kafkajs and amqplib. n.b. a link would not do: Node resolves what a linked
 * package imports from where it really is.
 */
export function installOurs() {
  const project = join(BENCH, '..');
  const copy = join(BENCH, 'node_modules', 'nestjs-events');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  cpSync(join(project, 'package.json'), join(copy, 'package.json'));
  cpSync(join(project, 'dist', 'lib'), join(copy, 'dist', 'lib'), { recursive: true });
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
