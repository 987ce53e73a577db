/** An application on nestjs-events, written as a user writes one: the module, an @OnEvent handler, the EventBus. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBus, EventsModule, OnEvent } from 'nestjs-events';
import { decorateMethod } from './decorate.mjs';

/** Part of the queue's name, `<group>.<handler id>`. */
const HANDLER_ID = 'handler';

/**
 * Option: `concurrency` of the handler.
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @param {import('nestjs-events').TransportDefinition} transport
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function openApp({ target, options, handle }, transport) {
  class App {}
  Module({
    imports: [EventsModule.forRoot({ service: target.group, transports: [transport] })],
    providers: handle ? [handlerClass(target.event, handle, options)] : [],
  })(App);

  const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  app.enableShutdownHooks();
  const bus = app.get(EventBus);
  return {
    publish: ({ key, data }) => bus.publish(target.event, data, { key }),
    close: () => app.close(),
  };
}

/**
 * @param {string} event
 * @param {NonNullable<import('../harness/types.mjs').OpenRequest['handle']>} handle
 * @param {Record<string, unknown>} options
 */
function handlerClass(event, handle, { concurrency }) {
  class Handler {
    /** @param {import('../harness/types.mjs').EventData} data */
    handle(data) {
      return handle(data);
    }
  }
  const settings = { id: HANDLER_ID, ...(concurrency === undefined ? {} : { concurrency: Number(concurrency) }) };
  decorateMethod(Handler, 'handle', { method: [OnEvent(event, settings)] });
  Injectable()(Handler);
  return Handler;
}
