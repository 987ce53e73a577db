/** Does the server answer its own protocol? An open port alone says little: servers listen before they serve. */
import { connect } from 'node:net';
import { becomesTrue, isAlive } from './processes.mjs';

/** @typedef {import('./records.mjs').ServerRecord} ServerRecord */

/**
 * By the server's name.
 * @type {Record<string, (record: ServerRecord) => Promise<boolean>>}
 */
const answers = {
  kafka: async ({ env: { KAFKA_BROKERS = '' } }) => {
    const reply = await ask(KAFKA_BROKERS, kafkaApiVersions());
    return reply?.readInt32BE(4) === 1; // the correlation id
  },

  rabbitmq: async ({ env: { RABBITMQ_URL = '', RABBITMQ_MANAGEMENT_URL = '' } }) => {
    const { host } = new URL(RABBITMQ_URL);
    const start = await ask(host, Buffer.from('AMQP\x00\x00\x09\x01', 'latin1'));
    return start?.[0] === 1 && (await managementAnswers(RABBITMQ_MANAGEMENT_URL));
  },

  postgres: async ({ env: { DATABASE_URL = '' } }) => {
    const { host, username, pathname } = new URL(DATABASE_URL);
    const reply = await ask(host, postgresStartup(username, pathname.slice(1)));
    return reply?.toString('latin1', 0, 1) === 'R'; // n.b. 'E' while it is still starting up
  },
};

/**
 * @param {ServerRecord} record
 * @param {number} [deadlineMs]
 */
export async function waitUntilAnswers(record, deadlineMs = 90_000) {
  const { name, kind, pid, startedAt } = record;
  const hasEnded = () => kind === 'native' && !isAlive({ pid: Number(pid), startedAt: String(startedAt) });
  let ended = false;
  const ready = await becomesTrue(
    async () => (ended = hasEnded()) || (await answers[name]?.(record)) === true,
    deadlineMs,
  );
  if (ended) throw new Error(`${name} ended while it was starting.`);
  if (!ready) throw new Error(`${name} does not answer ${deadlineMs / 1_000} s after its start.`);
}

/**
 * The first bytes the server sends back, or undefined.
 * @param {string} address host:port
 * @param {Buffer} request
 * @returns {Promise<Buffer | undefined>}
 */
function ask(address, request) {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), timeout: 2_000 });
    /** @param {Buffer} [reply] */
    const done = (reply) => {
      socket.destroy();
      resolve(reply);
    };
    socket.once('connect', () => socket.write(request));
    socket.once('data', done);
    for (const end of ['error', 'timeout', 'close']) socket.once(end, () => done());
  });
}

/** ApiVersions (key 18) version 0 with correlation id 1 and no client id. */
function kafkaApiVersions() {
  const request = Buffer.alloc(14);
  request.writeInt32BE(10, 0);
  request.writeInt16BE(18, 4);
  request.writeInt32BE(1, 8);
  request.writeInt16BE(-1, 12);
  return request;
}

/**
 * StartupMessage of protocol 3.0.
 * @param {string} user
 * @param {string} database
 */
function postgresStartup(user, database) {
  const parameters = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + parameters.length, 0);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, parameters]);
}

/** @param {string} managementUrl with user and password */
async function managementAnswers(managementUrl) {
  const { origin, username, password } = new URL(managementUrl);
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  try {
    const response = await fetch(`${origin}/api/overview`, {
      headers: { authorization },
      signal: AbortSignal.timeout(5_000),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
