/** The same servers as containers of docker-compose.yml, where an engine answers. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { waitUntilAnswers } from './probes.mjs';
import { PROJECT, removeRecord, withLock, writeRecord } from './records.mjs';

/** @typedef {import('./native.mjs').Server} Server */

const COMPOSE = ['compose', '--file', join(PROJECT, 'docker-compose.yml')];

/** The addresses of docker-compose.yml; the same variables move them there. */
const ENVIRONMENTS = {
  kafka: () => ({
    KAFKA_BROKERS: `127.0.0.1:${port('KAFKA_PORT', 9092)}`,
    KAFKA_SASL_BROKERS: `127.0.0.1:${port('KAFKA_SASL_PORT', 9094)}`,
    KAFKA_SASL_USERNAME: 'events',
    KAFKA_SASL_PASSWORD: 'events-secret',
  }),
  rabbitmq: () => ({
    RABBITMQ_URL: `amqp://events:events-secret@127.0.0.1:${port('RABBITMQ_PORT', 5672)}`,
    RABBITMQ_MANAGEMENT_URL: `http://events:events-secret@127.0.0.1:${port('RABBITMQ_MANAGEMENT_PORT', 15672)}`,
  }),
  postgres: () => ({
    DATABASE_URL: `postgres://events:events-secret@127.0.0.1:${port('POSTGRES_PORT', 5432)}/events`,
  }),
};

/** Does an engine answer, and does it know compose files? */
export function containersAvailable() {
  const run = (/** @type {string[]} */ ...args) =>
    spawnSync('docker', args, { stdio: 'ignore', timeout: 10_000 }).status === 0;
  return run('info') && run('compose', 'version');
}

/**
 * @param {keyof typeof ENVIRONMENTS} name
 * @returns {Server}
 */
export function containerServer(name) {
  return {
    name,
    available: containersAvailable,
    install: async () => {},

    start: () =>
      withLock(name, async () => {
        const wasRunning = isRunning(name);
        if (!wasRunning) await compose('up', '--detach', '--wait', name);
        /** @type {import('./records.mjs').ServerRecord} */
        const record = { name, kind: 'container', ports: {}, env: ENVIRONMENTS[name]() };
        writeRecord(record);
        await waitUntilAnswers(record);
        return !wasRunning;
      }),

    stop: ({ wipe = false } = {}) =>
      withLock(name, async () => {
        const wasRunning = isRunning(name);
        await (wipe ? compose('rm', '--stop', '--force', '--volumes', name) : compose('stop', name));
        removeRecord(name);
        return wasRunning;
      }),

    status: () => (isRunning(name) ? 'running (container)' : 'not running'),
    env: () => (isRunning(name) ? ENVIRONMENTS[name]() : undefined),
  };
}

/**
 * @param {string} name
 * @param {string} signalName
 */
export async function composeKill(name, signalName) {
  await compose('kill', '--signal', signalName, name);
  await compose('stop', name); // n.b. `kill` does not wait
}

/** @param {string} name */
export function composeStart(name) {
  return compose('start', name);
}

/** @param {string} name */
function isRunning(name) {
  const { status, stdout } = spawnSync('docker', [...COMPOSE, 'ps', '--quiet', '--status', 'running', name], {
    encoding: 'utf8',
  });
  return status === 0 && stdout.trim() !== '';
}

/** @param {string[]} args */
async function compose(...args) {
  const child = spawn('docker', [...COMPOSE, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  if (code !== 0)
    throw new Error(`docker compose ${args.join(' ')} failed. Without containers: npm run brokers -- up --native`);
}

/**
 * @param {string} variable
 * @param {number} fallback
 */
function port(variable, fallback) {
  return process.env[variable] ?? fallback;
}
