import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chownSync, closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { appConfig, type AppConfig } from '../config/app.config.js';
import { makeFolder, postgresPrograms, reachable, unprivilegedUser } from './postgres-programs.js';

const USER = 'shop';
const PASSWORD = 'shop';
/** Whoever holds this advisory lock owns the server. It goes with its connection, so also when the app is killed. */
const OWNER_LOCK = 7_403_211;
const DEADLINE_MS = 30_000;
const INITDB_OPTIONS = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync'];

/** A real PostgreSQL for those who gave no DATABASE_URL. Its data stays in `.data/postgres`. */
@Injectable()
export class EmbeddedPostgres implements OnApplicationShutdown {
  readonly #logger = new Logger(EmbeddedPostgres.name);
  readonly #user = unprivilegedUser();
  readonly #data = reachable(resolve('.data', 'postgres'), this.#user);
  readonly #log = `${this.#data}.log`;
  #owner: pg.Client | undefined;
  #pid: number | undefined;

  constructor(@Inject(appConfig.KEY) private readonly config: AppConfig) {}

  /** Where the database is: the one that was configured, else this one, started now. */
  async url(): Promise<string> {
    return this.config.databaseUrl ?? (await this.#start());
  }

  /** Comes after the connections were closed: TypeORM's module imports ours, and importing modules shut down first. */
  async onApplicationShutdown(): Promise<void> {
    process.off('exit', this.#kill);
    await this.#owner?.end().catch(() => undefined);
    this.#kill();
    await until(() => this.#running() === undefined);
  }

  async #start(): Promise<string> {
    const port = (await this.#adopt()) ?? (await this.#spawn());
    process.once('exit', this.#kill);
    this.#logger.log(`PostgreSQL runs on port ${port}, with its data in ${this.#data}`);
    return urlOf(port);
  }

  /** An app that was killed leaves its server running: it is taken over. One that still has its app is not. */
  async #adopt(): Promise<number | undefined> {
    const server = this.#running();
    if (server === undefined || !(await this.#own(server.port))) return undefined;
    this.#pid = server.pid;
    return server.port;
  }

  async #spawn(): Promise<number> {
    const programs = postgresPrograms(this.#user);
    if (!existsSync(this.#data)) this.#initialise(programs);
    const port = await freePort();
    const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: 200 };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const log = openSync(this.#log, 'w');
    // Detached: Ctrl-C goes to the whole group in a terminal, and the app needs its database while it finishes its work.
    const options = { cwd: this.#data, detached: true, stdio: ['ignore', log, log] as ('ignore' | number)[] };
    const child = spawn(join(programs, 'postgres'), ['-D', this.#data, ...args], { ...options, ...this.#user });
    closeSync(log);
    child.unref();
    await this.#ready(child, port);
    this.#pid = child.pid;
    return port;
  }

  async #ready(child: ChildProcess, port: number): Promise<void> {
    let failure: Error | undefined;
    child.once('error', (error) => (failure = error));
    const owned = await until(async () => failure !== undefined || child.exitCode !== null || (await this.#own(port)));
    if (owned && failure === undefined && child.exitCode === null) return;
    if (this.#running() !== undefined) await this.#adopt(); // started at the same moment: says who has it
    throw new Error(
      `PostgreSQL did not start in ${this.#data}: ${failure?.message ?? readFileSync(this.#log, 'utf8')}`,
    );
  }

  /** `false`: nobody answers there. Throws when it belongs to another app. */
  async #own(port: number): Promise<boolean> {
    const client = new pg.Client({ connectionString: urlOf(port) });
    client.on('error', () => undefined); // the server goes away: whoever uses it will say so
    try {
      await client.connect();
    } catch {
      return false;
    }
    const { rows } = await client.query<{ owned: boolean }>('SELECT pg_try_advisory_lock($1) AS owned', [OWNER_LOCK]);
    if (rows[0]?.owned === true) {
      this.#owner = client;
      return true;
    }
    await client.end();
    throw new Error(
      `Another sample app is using the data in ${this.#data}. Stop it, or let this one share its database: ` +
        `DATABASE_URL=${urlOf(port)}`,
    );
  }

  /** Beside its place first: a cluster cut short is never taken for a whole one, and of two who start at once one wins. */
  #initialise(programs: string): void {
    const draft = `${this.#data}.${process.pid}`;
    const password = `${draft}.password`;
    makeFolder(draft, this.#user);
    writeFileSync(password, PASSWORD, { mode: 0o600 });
    if (this.#user !== undefined) chownSync(password, this.#user.uid, this.#user.gid);
    const { status, error, stderr } = spawnSync(
      join(programs, 'initdb'),
      [`--pgdata=${draft}`, `--pwfile=${password}`, `--username=${USER}`, ...INITDB_OPTIONS],
      { cwd: draft, encoding: 'utf8', ...this.#user },
    );
    rmSync(password);
    if (status === 0 && !existsSync(this.#data)) return renameSync(draft, this.#data);
    rmSync(draft, { recursive: true, force: true });
    if (status !== 0) throw new Error(`initdb failed for ${this.#data}: ${error?.message ?? stderr}`);
  }

  /** What the server says of itself: the first line is its process, the fourth its port. */
  #running(): { pid: number; port: number } | undefined {
    const file = join(this.#data, 'postmaster.pid');
    if (!existsSync(file)) return undefined;
    const [pid, , , port] = readFileSync(file, 'utf8').split('\n').map(Number);
    return pid !== undefined && port !== undefined && isAlive(pid) ? { pid, port } : undefined;
  }

  /** n.b. SIGINT ends PostgreSQL at once and in order; SIGTERM would wait for its clients. */
  readonly #kill = (): void => {
    if (this.#pid !== undefined && this.#running()?.pid === this.#pid) process.kill(this.#pid, 'SIGINT');
  };
}

const urlOf = (port: number): string => `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/postgres`;

async function until(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer().once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => found(port));
    });
  });
}
