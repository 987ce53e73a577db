import { expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const OPTIONAL = ['kafkajs', 'lz4-napi', 'amqplib', 'typeorm', 'pg', '@nestjs/microservices', '@nestjs/typeorm'];

/** A loader that lets nothing of the built library import an optional package, as if none were installed. */
const LOADER = `
export async function resolve(specifier, context, next) {
  const optional = ${JSON.stringify(OPTIONAL)}.find((name) => specifier === name || specifier.startsWith(name + '/'));
  if (optional && !context.parentURL?.includes('/node_modules/')) throw new Error('OPTIONAL ' + specifier);
  return next(specifier, context);
}`;

/** Runs a program in a process of its own; resolves with what it prints. */
async function inAnotherProcess(program: string): Promise<string> {
  if (!existsSync(`${PROJECT}dist/lib/index.js`)) {
    throw new Error('dist/lib is not built. Run "npm run build", or the tests with "npm test".');
  }
  const dataUrl = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(LOADER))});`;
  const args = ['--import', dataUrl(register), '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { cwd: PROJECT });
  return stdout.trim();
}

const LOADED = `
import { createRequire } from 'node:module';
const loaded = () => ${JSON.stringify(OPTIONAL)}.filter((name) =>
  Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('/node_modules/' + name + '/')));`;

test('the package root loads no broker client and no database library', async () => {
  const program = `${LOADED} await import('./dist/lib/index.js'); console.log(JSON.stringify(loaded()));`;
  expect(JSON.parse(await inAnotherProcess(program))).toEqual([]);
});

test('an application on the memory transport starts, handles and closes without any of them', async () => {
  const program = `${LOADED}
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ActivityStream, EventBus, EventsModule, OnEvent } from './dist/lib/index.js';
class Emails { send() {} }
OnEvent('orders.order.placed')(Emails.prototype, 'send', Object.getOwnPropertyDescriptor(Emails.prototype, 'send'));
class App {}
Module({ imports: [EventsModule.forRoot({ service: 'shop' })], providers: [Emails] })(App);
const app = await NestFactory.createApplicationContext(App, { logger: false });
const handled = new Promise((resolve) => app.get(ActivityStream).activities.subscribe(({ type }) => type === 'handled' && resolve()));
await app.get(EventBus).publish('orders.order.placed', null);
await handled;
await app.close();
console.log(JSON.stringify(loaded()));`;
  expect(JSON.parse(await inAnotherProcess(program))).toEqual([]);
});

test.each([
  ['kafka', 'kafkajs'],
  ['rabbitmq', 'amqplib'],
  ['typeorm', 'typeorm'],
])('the entry of %s is what needs %s', async (entry, name) => {
  const program = `${LOADED} try { await import('./dist/lib/${entry}.js'); console.log(loaded().join()); } catch (e) { console.log(e.message); }`;
  const answer = await inAnotherProcess(program);
  // Either with its entry or when its transport connects: never with the root.
  expect(['', `OPTIONAL ${name}`]).toContain(answer);
});

test('every entry of package.json is built and can be imported', async () => {
  const program = `
const { default: { exports } } = await import('./package.json', { with: { type: 'json' } });
const found = [];
for (const entry of Object.keys(exports).filter((name) => !name.endsWith('.json'))) {
  found.push(Object.keys(await import(entry.replace('.', 'nestjs-events'))).length > 0);
}
console.log(JSON.stringify(found));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: PROJECT });
  expect(JSON.parse(stdout)).toEqual([true, true, true, true, true]);
});
