/** An application on nestjs-events, written as a user writes one: the module, an @OnEvent handler, the EventBus. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBus, EventsModule, OnEvent } from 'nestjs-events';
import { decorateMethod } from './decorate.mjs';

/** Part of the queue's name, `<group>.<handler id>`. */
const HANDLER_ID = 'handler';

/**
 * Options: `concurrency` and `ordering` of the handler; `backoffMs`, the same before every other attempt.
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @param {import('nestjs-events').TransportDefinition} transport
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function openApp({ target, options, handle }, transport) {
  const { app, bus } = await startApp(
    { service: target.group, transports: [transport] },
    handle ? [handlerClass(handle, [OnEvent(target.event, handlerOptions(options))])] : [],
  );
  return {
    publish: ({ key, data }) => bus.publish(target.event, data, { key }),
    close: () => app.close(),
  };
}

/**
 * @param {import('nestjs-events').EventsModuleOptions} options
 * @param {(new () => object)[]} providers
 */
export async function startApp(options, providers) {
  class App {}
  Module({ imports: [EventsModule.forRoot(options)], providers })(App);
  const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  app.enableShutdownHooks();
  return { app, bus: app.get(EventBus) };
}

/** @param {Record<string, unknown>} options of the contestant */
export function handlerOptions({ concurrency, ordering, backoffMs }) {
  return {
    id: HANDLER_ID,
    ...(concurrency === undefined ? {} : { concurrency: Number(concurrency) }),
    ...(ordering === undefined ? {} : { ordering: /** @type {'none'} */ (ordering) }),
    ...(backoffMs === undefined ? {} : { retry: { backoff: fixed(Number(backoffMs)) } }),
  };
}

/** @param {number} initialMs */
function fixed(initialMs) {
  return /** @type {const} */ ({ type: 'fixed', initialMs, jitter: false });
}

/**
 * @template T
 * @param {(arg: T) => unknown} handle
 * @param {((target: object, key: string, descriptor: PropertyDescriptor) => unknown)[]} decorators
 * @returns {new () => object}
 */
export function handlerClass(handle, decorators) {
  class Handler {
    /** @param {T} arg the event's data, or a batch of envelopes */
    handle(arg) {
      return handle(arg);
    }
  }
  decorateMethod(Handler, 'handle', { method: decorators });
  Injectable()(Handler);
  return Handler;
}
