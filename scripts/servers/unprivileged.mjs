/** PostgreSQL refuses to run as root: as root it runs as another user, who must be able to reach its files. */
import { createHash } from 'node:crypto';
import { chownSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PROJECT } from './records.mjs';

/** @typedef {{ uid: number, gid: number }} User */

/**
 * @returns {User | undefined} undefined when this process is not root's
 */
export function unprivilegedUser() {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  const user = users.get('postgres') ?? users.get('nobody');
  if (!user)
    throw new Error(
      'PostgreSQL cannot run as root, and there is no user "postgres" or "nobody" to run it as: add one.',
    );
  return user;
}

/**
 * The folder itself, or, where the user cannot enter it (a project in root's home), one in the system's folder
 * for temporary files.
 * @param {string} folder inside the project
 * @param {User} [user]
 */
export function reachable(folder, user) {
  if (user === undefined || canEnter(folder, user)) return folder;
  const temporary = [tmpdir(), '/tmp', '/var/tmp'].find((candidate) => canEnter(candidate, user));
  if (!temporary) throw new Error(`The user PostgreSQL runs as cannot enter ${folder}: chmod o+x its parent folders.`);
  const project = createHash('sha256').update(PROJECT).digest('hex').slice(0, 12);
  return join(temporary, `nestjs-events-${project}`, folder.slice(PROJECT.length + 1));
}

/**
 * @param {string} folder
 * @param {User} [user] becomes its owner
 */
export function makeFolder(folder, user) {
  mkdirSync(folder, { recursive: true });
  if (user) chownSync(folder, user.uid, user.gid);
}

/**
 * @param {string} folder
 * @param {User} user
 * @returns {boolean}
 */
function canEnter(folder, user) {
  const stat = statSync(folder, { throwIfNoEntry: false });
  const open = !stat || (stat.mode & 0o001) !== 0 || stat.uid === user.uid;
  return open && (dirname(folder) === folder || canEnter(dirname(folder), user));
}
