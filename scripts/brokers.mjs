/** `npm run brokers -- up|down|status|env [kafka] [rabbitmq] [postgres]`: the servers for development and tests. */
import { chooseServers, SERVER_NAMES, toServerNames } from './servers/index.mjs';

const USAGE = `npm run brokers -- up|down|status|env [${SERVER_NAMES.join('] [')}]
  up [--native]   start what is not running, in containers where an engine answers (--native: never)
  down [--wipe]   stop them (--wipe: and delete their data)
  status          what runs
  env             export lines of those that run: eval "$(npm run --silent brokers -- env)"`;

/** @typedef {import('./servers/native.mjs').Server} Server */

/** @type {Record<string, (servers: Server[], flags: Set<string>) => Promise<void>>} */
const commands = {
  async up(servers) {
    await forEach(servers, async (server) => {
      const begin = performance.now();
      const started = await server.start();
      const seconds = ((performance.now() - begin) / 1_000).toFixed(1);
      console.error(`${server.name}: ${started ? `started in ${seconds} s` : 'already running'}`);
    });
    for (const [key, value] of environment(servers)) console.log(`${key}=${value}`);
  },

  async down(servers, flags) {
    await forEach(servers, async (server) => {
      const wasRunning = await server.stop({ wipe: flags.has('--wipe') });
      console.log(`${server.name}: ${wasRunning ? 'stopped' : 'was not running'}`);
    });
  },

  async status(servers) {
    for (const server of servers) console.log(`${server.name}: ${server.status()}`);
  },

  async env(servers) {
    for (const [key, value] of environment(servers)) console.log(`export ${key}='${value}'`);
  },
};

/** @param {Server[]} servers */
function environment(servers) {
  return servers.flatMap((server) => Object.entries(server.env() ?? {}));
}

/**
 * All at once; the errors of all are shown.
 * @param {Server[]} servers
 * @param {(server: Server) => Promise<void>} work
 */
async function forEach(servers, work) {
  const results = await Promise.allSettled(servers.map(work));
  const reasons = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason.message);
  if (reasons.length > 0) throw new Error(reasons.join('\n\n'));
}

const [command = '', ...rest] = process.argv.slice(2);
const flags = new Set(rest.filter((argument) => argument.startsWith('--')));
const run = commands[command];
if (!run || [...flags].some((flag) => !['--native', '--wipe'].includes(flag))) {
  console.error(USAGE);
  process.exit(2);
}
try {
  const given = toServerNames(rest.filter((argument) => !flags.has(argument)));
  const servers = chooseServers(given.length > 0 ? given : SERVER_NAMES, { forceNative: flags.has('--native') });
  await run(servers, flags);
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
}
