/**
 * @golevelup/nestjs-rabbitmq with its defaults (one connection, Nagle's algorithm on), prefetch 100. Option: `onError`,
 * one of `golevelup-errors.mjs`; without it an event that fails is requeued, its default.
 */
import 'reflect-metadata';
import golevelup from '@golevelup/nestjs-rabbitmq';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { decorateMethod } from './decorate.mjs';
import { errorOptions } from './golevelup-errors.mjs';

const { AmqpConnection, RabbitMQModule, RabbitSubscribe } = golevelup;

/** @param {import('../harness/types.mjs').Target} target */
const queueOf = ({ name, event, group }) => ({ exchange: name, routingKey: event, queue: `${group}.handler` });

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, handle }) {
  const errors = errorOptions(queueOf(target).queue, options.onError);
  class App {}
  Module({
    imports: [
      RabbitMQModule.forRoot({
        uri: target.address,
        prefetchCount: 100,
        exchanges: [{ name: target.name, type: 'topic', options: { durable: true } }],
        queues: [{ ...queueOf(target), name: queueOf(target).queue, options: errors.queueOptions }, ...errors.queues],
      }),
    ],
    providers: handle ? [handlerClass(target, handle, errors)] : [],
  })(App);

  const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  const connection = app.get(AmqpConnection);
  return {
    publish: ({ key, data }) =>
      connection.publish(target.name, target.event, data, { persistent: true, headers: { key } }),
    deadLetters: { broker: 'rabbitmq', ...errors.deadLetters },
    close: () => {
      // What it requeues while its channel closes is thrown, and nobody can catch it; the measurement is over by then.
      process.on('unhandledRejection', () => undefined);
      return app.close();
    },
  };
}

/**
 * @param {import('../harness/types.mjs').Target} target
 * @param {NonNullable<import('../harness/types.mjs').OpenRequest['handle']>} handle
 * @param {ReturnType<typeof errorOptions>} errors
 */
function handlerClass(target, handle, { queueOptions, subscribing }) {
  class Handler {
    /** @param {import('../harness/types.mjs').EventData} data */
    async handle(data) {
      await handle(data);
    }
  }
  const subscribe = RabbitSubscribe({ ...queueOf(target), queueOptions, ...subscribing });
  decorateMethod(Handler, 'handle', { method: [subscribe] });
  Injectable()(Handler);
  return Handler;
}
