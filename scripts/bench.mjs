/**
 * `npm run bench -- kafka|rabbitmq|effects|failures`: measures this package side by side with the raw clients and other
 * libraries. The servers are found as for `npm test`, and stopped where they were started here. bench/README.md tells the method.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ensureOthersInstalled, installOurs } from '../bench/harness/install.mjs';
import { parseOptions, SUITES, USAGE } from '../bench/harness/options.mjs';
import { ensureBuilt } from './build.mjs';
import { ensureInstalled, requireNode } from './install.mjs';
import { onInterrupt, runNode } from './run.mjs';
import { ADDRESS_VARIABLES, chooseServers } from './servers/index.mjs';
import { PROJECT, readRecord } from './servers/records.mjs';

/**
 * @typedef {typeof SUITES[number]} SuiteName
 * @typedef {import('./servers/index.mjs').ServerName} ServerName
 */

/** @type {Readonly<Record<SuiteName, readonly ServerName[]>>} */
const SERVERS_OF = {
  kafka: ['kafka'],
  rabbitmq: ['rabbitmq'],
  effects: ['postgres', 'kafka'],
  failures: ['kafka', 'rabbitmq'],
};

requireNode();
const [suite, ...rest] = process.argv.slice(2);
checkArguments();

/** @type {import('./run.mjs').Run | undefined} */
let running;
let interrupted = false;
onInterrupt((signal) => {
  if (!interrupted) console.error('\nInterrupted: stopping what was started …');
  interrupted = true;
  running?.interrupt(signal);
});

/** @type {import('./servers/index.mjs').Server[]} */
const startedHere = [];
try {
  process.exitCode = await bench(/** @type {SuiteName} */ (suite));
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
} finally {
  for (const server of startedHere) await server.stop();
  if (interrupted) process.exitCode = 130;
}

function checkArguments() {
  try {
    if (!SUITES.some((known) => known === suite)) throw new Error(`Name a suite: ${SUITES.join(' or ')}.`);
    parseOptions(rest);
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

/**
 * @param {SuiteName} name
 * @returns {Promise<number>} the exit code
 */
async function bench(name) {
  const steps = [
    ensureInstalled,
    () => ensureBuilt((run) => (running = run)),
    ensureOthersInstalled,
    installOurs,
    ...SERVERS_OF[name].map((server) => () => startServer(server)),
  ];
  for (const step of steps) {
    await step();
    if (interrupted) return 130;
  }
  const addresses = SERVERS_OF[name].map((server) => ({ ...chooseServers([server])[0]?.env(), ...given(server) }));
  const env = { ...Object.assign({}, ...addresses), BENCH_BROKER_VERSION: brokerVersion(SERVERS_OF[name]) };
  running = runNode([join(PROJECT, 'bench', 'suites', `${name}.mjs`), ...rest], { env, wholeGroup: true });
  return running.exitCode;
}

/** @param {ServerName} name */
async function startServer(name) {
  if (Object.keys(given(name)).length > 0) {
    console.error(`${name}: the one in ${ADDRESS_VARIABLES[name]}`);
    return;
  }
  const [server] = chooseServers([name]);
  const startedNow = await server?.start();
  if (startedNow && server) startedHere.push(server);
  console.error(`${name}: ${startedNow ? 'started' : 'already running, and left running'}`);
}

/**
 * @param {ServerName} name
 * @returns {Record<string, string>} the address in the environment, if there is one
 */
function given(name) {
  const variable = ADDRESS_VARIABLES[name];
  const address = process.env[variable];
  return address ? { [variable]: address } : {};
}

/**
 * Of the broker, where this project runs it. n.b. Kafka's protocol does not tell it; RabbitMQ and PostgreSQL do, on
 * connecting.
 * @param {readonly ServerName[]} servers
 */
function brokerVersion(servers) {
  const name = servers.find((server) => server !== 'postgres') ?? 'kafka';
  const record = readRecord(name);
  const address = process.env[ADDRESS_VARIABLES[name]];
  if (!record || (address && address !== record.env[ADDRESS_VARIABLES[name]])) return 'unknown';
  if (record.kind === 'native') return basename(record.restart?.cwd ?? 'unknown');
  const compose = readFileSync(join(PROJECT, 'docker-compose.yml'), 'utf8');
  return /image: apache\/kafka:(\S+)/.exec(compose)?.[1] ?? 'unknown';
}
