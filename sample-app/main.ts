import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { appConfig, type AppConfig } from './config/app.config.js';
import { QuietLogger } from './quiet.logger.js';
import { brokerOf, explain, welcome } from './welcome.js';

let app: INestApplication | undefined;
try {
  // Logs wait until the app stands: if it does not, one clear message says more than a page of stack.
  app = await NestFactory.create(AppModule, { abortOnError: false, bufferLogs: true, autoFlushLogs: false });
  app.useLogger(new QuietLogger());
  app.flushLogs();
  const config = app.get<AppConfig>(appConfig.KEY);
  app.enableShutdownHooks();
  // A broker that is not there is tried for half a minute: it may be starting, too.
  if (config.transport !== 'memory') console.log(`Connecting to ${brokerOf(config)} …`);
  await app.listen(config.port, config.host);
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  console.log(welcome(config, port));
} catch (error) {
  console.error(`\nThe sample app could not start: ${explain(error)}`);
  await app?.close().catch(() => undefined);
  process.exit(1);
}
