/**
 * What the child processes of these tests share: a Nest application written as a user writes one, on the built package
 * and its public names. Plain JavaScript, so that no compiler and no test runner stands between it and the signal.
 */
import 'reflect-metadata';
import { Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource } from 'typeorm';

export const task = JSON.parse(process.argv[2] ?? '{}');

/** n.b. a pipe is written to at once (on Linux and macOS), so that even the last word before SIGKILL arrives. */
export const say = (report) => void process.stdout.write(`${JSON.stringify(report)}\n`);

// Whoever started this is gone.
process.stdin.on('end', () => process.exit(1)).resume();

/** The definition of the transport that the task names. */
export async function taskTransport() {
  const { kind, options } = task.transport;
  const made = kind === 'kafka' ? await import('nestjs-events/kafka') : await import('nestjs-events/rabbitmq');
  return made[kind](options);
}

/** The application's database, as a provider that every module finds. */
export function databaseModule(poolSize) {
  class DatabaseModule {}
  Module({})(DatabaseModule);
  const provider = {
    provide: DataSource,
    useFactory: () => new DataSource({ type: 'postgres', url: task.databaseUrl, poolSize }).initialize(),
  };
  return { module: DatabaseModule, global: true, providers: [provider], exports: [DataSource] };
}

/** A provider class with its dependencies. */
export function injectable(type, ...dependencies) {
  dependencies.forEach((token, index) => Inject(token)(type, undefined, index));
  return type;
}

/** A decorator on a method. */
export function handles(type, method, decorator) {
  decorator(type.prototype, method, Object.getOwnPropertyDescriptor(type.prototype, method));
}

export async function startApp({ imports, providers = [] }) {
  class AppModule {}
  Module({ imports, providers })(AppModule);
  // The console of Nest writes to stdout, where the reports go.
  const app = await NestFactory.createApplicationContext(AppModule, { logger: stderrLogger, abortOnError: false });
  say({ step: 'ready' });
  return app;
}

const stderrLogger = {
  log: () => undefined,
  debug: () => undefined,
  verbose: () => undefined,
  warn: (message) => console.error('WARN', message),
  error: (message, ...rest) => console.error('ERROR', message, ...rest),
  fatal: (message) => console.error('FATAL', message),
};
