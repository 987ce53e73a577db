/**
 * Kafka from Maven Central, one node in KRaft mode, with a listener that asks for a password (SASL/PLAIN)
 * and one that does not. `KAFKA_VERSION` chooses another release that has the artifact kafka-tools.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nativeServer } from './native.mjs';
import { choosePorts } from './processes.mjs';
import { readJson, SERVERS, writeJson } from './records.mjs';
import { findCommand, installPackages } from './system-packages.mjs';

const VERSION = process.env.KAFKA_VERSION ?? '4.1.1';
const LOG4J_VERSION = '2.24.3';
const COPY_DEPENDENCIES = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
const USER = 'events';
const PASSWORD = 'events-secret';

const HOME = join(SERVERS, 'kafka', VERSION);
const LIBS = join(HOME, 'libs');
const DATA = join(HOME, 'data');
const PROPERTIES = join(HOME, 'server.properties');
const LOGGING = join(HOME, 'log4j2.properties');

export const kafka = nativeServer({
  name: 'kafka',
  available: () => findCommand('java') !== undefined && existsSync(LIBS),
  install,
  prepare,
  folders: () => [DATA],
});

async function install() {
  if (existsSync(LIBS)) return needs({ java: 'default-jre-headless' });
  needs({ java: 'default-jre-headless', mvn: 'maven' });
  console.error(`kafka: fetching ${VERSION} from Maven Central (about 55 MB, once)`);
  const draft = `${LIBS}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(HOME, { recursive: true });
  writeFileSync(join(HOME, 'pom.xml'), pom());
  await maven([
    '--batch-mode',
    '--quiet',
    '--file',
    join(HOME, 'pom.xml'),
    COPY_DEPENDENCIES,
    `-DoutputDirectory=${draft}`,
  ]);
  renameSync(draft, LIBS);
}

/** @param {Record<string, string>} packageOf Debian's package for each command */
function needs(packageOf) {
  const missing = Object.keys(packageOf).filter((command) => findCommand(command) === undefined);
  if (missing.length === 0) return;
  installPackages({
    server: 'kafka',
    missing,
    packages: missing.map((command) => packageOf[command] ?? command),
    variable: 'KAFKA_BROKERS',
  });
}

/** @param {string[]} args */
async function maven(args) {
  const child = spawn('mvn', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  if (code !== 0) throw new Error(`kafka ${VERSION} could not be fetched from Maven Central:\n${output}`);
}

async function prepare() {
  const ports = await choosePorts(['plain', 'sasl', 'controller'], readJson(join(HOME, 'ports.json')));
  writeJson(join(HOME, 'ports.json'), ports);
  writeFileSync(PROPERTIES, toProperties(configuration(ports)));
  writeFileSync(LOGGING, toProperties(logging));
  if (!existsSync(join(DATA, 'meta.properties'))) formatStorage();
  return {
    ports,
    env: {
      KAFKA_BROKERS: `127.0.0.1:${ports.plain}`,
      KAFKA_SASL_BROKERS: `127.0.0.1:${ports.sasl}`,
      KAFKA_SASL_USERNAME: USER,
      KAFKA_SASL_PASSWORD: PASSWORD,
    },
    command: {
      command: String(findCommand('java')),
      args: ['-Xms256m', '-Xmx768m', '-XX:+ExitOnOutOfMemoryError', ...javaArguments(), 'kafka.Kafka', PROPERTIES],
      env: {},
      cwd: HOME,
      log: join(SERVERS, 'log', 'kafka.log'),
    },
  };
}

function formatStorage() {
  rmSync(DATA, { recursive: true, force: true });
  const clusterId = Buffer.from('nestjs-events-01').toString('base64url'); // 16 bytes, as a Kafka UUID
  const args = [...javaArguments(), 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', PROPERTIES];
  const { status, stdout, stderr } = spawnSync(String(findCommand('java')), args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`kafka: formatting ${DATA} failed:\n${stdout}${stderr}`);
}

function javaArguments() {
  if (readdirSync(LIBS).length === 0) throw new Error(`${LIBS} is empty: delete it and try again.`);
  return [`-Dlog4j2.configurationFile=${LOGGING}`, '-cp', join(LIBS, '*')];
}

/** @param {Record<string, number>} ports */
function configuration({ plain, sasl, controller }) {
  const listeners = `PLAINTEXT://127.0.0.1:${plain},SASL_PLAINTEXT://127.0.0.1:${sasl}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `${listeners},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': listeners,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT',
    'sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.sasl_plaintext.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER}="${PASSWORD}";`,
    'log.dirs': DATA,
    'auto.create.topics.enable': false,
    'group.initial.rebalance.delay.ms': 0,
    // one node holds the internal topics; few partitions, for a quick start
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 2,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    // after a SIGKILL the controller waits this long for the old process before it lets the new one in
    'broker.session.timeout.ms': 4_000,
    'broker.heartbeat.interval.ms': 1_000,
    // small machines: tests make many topics, and each partition maps its index files
    'num.network.threads': 2,
    'num.io.threads': 4,
    'log.index.size.max.bytes': 1_048_576,
    'log.cleaner.dedupe.buffer.size': 33_554_432,
    'log.segment.delete.delay.ms': 1_000,
  };
}

const logging = {
  'appender.console.type': 'Console',
  'appender.console.name': 'console',
  'appender.console.layout.type': 'PatternLayout',
  'appender.console.layout.pattern': '%d %p %m (%c)%n',
  'rootLogger.level': 'WARN',
  'rootLogger.appenderRef.console.ref': 'console',
  'logger.server.name': 'kafka.server.KafkaRaftServer',
  'logger.server.level': 'INFO',
};

/** @param {Record<string, string | number | boolean>} entries */
function toProperties(entries) {
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

function pom() {
  const dependencies = [
    ['org.apache.kafka', 'kafka_2.13', VERSION],
    ['org.apache.kafka', 'kafka-tools', VERSION],
    ['org.apache.logging.log4j', 'log4j-core', LOG4J_VERSION],
    ['org.apache.logging.log4j', 'log4j-slf4j-impl', LOG4J_VERSION],
  ].map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-server</artifactId><version>1</version>
  <dependencies>${dependencies.join('\n')}</dependencies>
</project>
`;
}
