/**
 * `npm run bench -- kafka|rabbitmq`: measures this package side by side with the raw clients and other libraries.
 * The broker is found as for `npm test`, and stopped where it was started here. bench/README.md tells the method.
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

/** @typedef {typeof SUITES[number]} SuiteName */

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

/** @type {import('./servers/index.mjs').Server | undefined} */
let startedHere;
try {
  process.exitCode = await bench(/** @type {SuiteName} */ (suite));
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
} finally {
  await startedHere?.stop();
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
    () => startServer(name),
  ];
  for (const step of steps) {
    await step();
    if (interrupted) return 130;
  }
  const env = { ...chooseServers([name])[0]?.env(), ...given(name), BENCH_BROKER_VERSION: brokerVersion(name) };
  running = runNode([join(PROJECT, 'bench', 'suites', `${name}.mjs`), ...rest], { env, wholeGroup: true });
  return running.exitCode;
}

/** @param {SuiteName} name */
async function startServer(name) {
  if (Object.keys(given(name)).length > 0) {
    console.error(`${name}: the one in ${ADDRESS_VARIABLES[name]}`);
    return;
  }
  const [server] = chooseServers([name]);
  const startedNow = await server?.start();
  if (startedNow) startedHere = server;
  console.error(`${name}: ${startedNow ? 'started' : 'already running, and left running'}`);
}

/**
 * @param {SuiteName} name
 * @returns {Record<string, string>} the address in the environment, if there is one
 */
function given(name) {
  const variable = ADDRESS_VARIABLES[name];
  const address = process.env[variable];
  return address ? { [variable]: address } : {};
}

/**
 * Of a broker that this project runs. n.b. Kafka's protocol does not tell it; RabbitMQ's does, on connecting.
 * @param {SuiteName} name
 */
function brokerVersion(name) {
  const record = readRecord(name);
  const address = process.env[ADDRESS_VARIABLES[name]];
  if (!record || (address && address !== record.env[ADDRESS_VARIABLES[name]])) return 'unknown';
  if (record.kind === 'native') return basename(record.restart?.cwd ?? 'unknown');
  const compose = readFileSync(join(PROJECT, 'docker-compose.yml'), 'utf8');
  return /image: apache\/kafka:(\S+)/.exec(compose)?.[1] ?? 'unknown';
}
