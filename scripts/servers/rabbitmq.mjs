/**
 * RabbitMQ from the rabbitmq-server on the path, with the management plugin, as a node of its own: own ports,
 * own folder, own cookie, own epmd (Erlang's port mapper, which would otherwise stay behind as a daemon).
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nativeServer } from './native.mjs';
import { choosePorts } from './processes.mjs';
import { readJson, SERVERS, writeJson } from './records.mjs';
import { findCommand, installPackages, isExecutable } from './system-packages.mjs';

const USER = 'events';
const PASSWORD = 'events-secret';
const HOME = join(SERVERS, 'rabbitmq');
const DATA = join(HOME, 'data');
const LOG = join(SERVERS, 'log', 'rabbitmq.log');

/** n.b. Debian's command on the path only serves root and the user rabbitmq; the script behind it serves everyone. */
const DEBIAN_SCRIPT = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export const rabbitmq = nativeServer({
  name: 'rabbitmq',
  available: () => serverScript() !== undefined && epmd() !== undefined,
  install,
  prepare,
  folders: () => [DATA],
});

async function install() {
  const missing = [...(serverScript() ? [] : ['rabbitmq-server']), ...(epmd() ? [] : ['epmd'])];
  if (missing.length === 0) return;
  installPackages({ server: 'rabbitmq', missing, packages: ['rabbitmq-server'], variable: 'RABBITMQ_URL' });
}

async function prepare() {
  const ports = await choosePorts(['amqp', 'management', 'distribution', 'epmd'], readJson(join(HOME, 'ports.json')));
  writeJson(join(HOME, 'ports.json'), ports);
  mkdirSync(join(HOME, 'conf.d'), { recursive: true });
  mkdirSync(DATA, { recursive: true });
  writeFileSync(join(HOME, 'rabbitmq.conf'), configuration(ports));
  writeFileSync(join(HOME, 'advanced.config'), '[].\n');
  writeFileSync(join(HOME, 'enabled_plugins'), '[rabbitmq_management].\n');
  const env = environment(ports);
  return {
    ports,
    env: {
      RABBITMQ_URL: `amqp://${USER}:${PASSWORD}@127.0.0.1:${ports.amqp}`,
      RABBITMQ_MANAGEMENT_URL: `http://${USER}:${PASSWORD}@127.0.0.1:${ports.management}`,
    },
    helpers: [
      {
        command: String(epmd()),
        args: ['-address', '127.0.0.1', '-port', String(ports.epmd)],
        env: {},
        cwd: HOME,
        log: LOG,
      },
    ],
    command: { command: String(serverScript()), args: ['-noinput'], env, cwd: HOME, log: LOG },
  };
}

/** @param {Record<string, number>} ports */
function environment({ distribution, epmd }) {
  const quiet = ['+sbwt none', '+sbwtdcpu none', '+sbwtdio none']; // idle schedulers do not spin
  return {
    HOME, // holds the cookie
    RABBITMQ_NODENAME: 'nestjs-events@localhost',
    RABBITMQ_CONFIG_FILE: join(HOME, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(HOME, 'conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(HOME, 'advanced.config'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_ENABLED_PLUGINS_FILE: join(HOME, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: DATA,
    RABBITMQ_LOG_BASE: join(SERVERS, 'log'),
    RABBITMQ_FEATURE_FLAGS_FILE: join(DATA, 'feature_flags'),
    RABBITMQ_DIST_PORT: String(distribution),
    ERL_EPMD_PORT: String(epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${quiet.join(' ')} -kernel inet_dist_use_interface {127,0,0,1}`,
    // n.b. makes the script become the server, instead of staying its parent
    RABBITMQ_ALLOW_INPUT: 'true',
  };
}

/** @param {Record<string, number>} ports */
function configuration({ amqp, management }) {
  return `listeners.tcp.1 = 127.0.0.1:${amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = ${management}
default_user = ${USER}
default_pass = ${PASSWORD}
default_vhost = /
collect_statistics_interval = 1000
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
`;
}

function serverScript() {
  return isExecutable(DEBIAN_SCRIPT) ? DEBIAN_SCRIPT : findCommand('rabbitmq-server');
}

/** Beside `erl`, or in Erlang's own folder. */
function epmd() {
  return findCommand('epmd') ?? ['/usr/lib/erlang/bin/epmd', '/usr/local/lib/erlang/bin/epmd'].find(existsSync);
}
