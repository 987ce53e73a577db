/** All the servers, each as a container or as a process of this machine. */
import { containersAvailable, containerServer } from './containers.mjs';
import { kafka } from './kafka.mjs';
import { postgres } from './postgres.mjs';
import { rabbitmq } from './rabbitmq.mjs';
import { readRecord } from './records.mjs';

/**
 * @typedef {import('./native.mjs').Server} Server
 * @typedef {import('./control.mjs').ServerName} ServerName
 */

const native = { kafka, rabbitmq, postgres };

/** @type {readonly ServerName[]} */
export const SERVER_NAMES = ['kafka', 'rabbitmq', 'postgres'];

/** The variable that names a server of one's own. */
export const ADDRESS_VARIABLES = /** @type {const} */ ({
  kafka: 'KAFKA_BROKERS',
  rabbitmq: 'RABBITMQ_URL',
  postgres: 'DATABASE_URL',
});

/**
 * The one that runs already, else a container where an engine answers, else a native one.
 * @param {readonly ServerName[]} names
 * @param {{ forceNative?: boolean }} [options]
 * @returns {Server[]}
 */
export function chooseServers(names, { forceNative = false } = {}) {
  /** @type {boolean | undefined} */
  let engine;
  return names.map((name) => {
    const kind = readRecord(name)?.kind;
    if (kind === 'native' || forceNative) return native[name];
    engine ??= containersAvailable();
    return engine ? containerServer(name) : native[name];
  });
}

/**
 * @param {string[]} given
 * @returns {ServerName[]}
 */
export function toServerNames(given) {
  const unknown = given.filter((name) => !SERVER_NAMES.some((known) => known === name));
  if (unknown.length > 0)
    throw new Error(`Unknown server ${unknown.join(', ')}: there are ${SERVER_NAMES.join(', ')}.`);
  return /** @type {ServerName[]} */ (given);
}
