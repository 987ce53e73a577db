/** @nestjs/microservices over RabbitMQ: ClientRMQ.emit and a microservice with @EventPattern, acks by hand, prefetch 100. */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, Ctx, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { decorateMethod } from './decorate.mjs';

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, publishes, handle }) {
  const common = { urls: [target.address], queue: `${target.group}.handler`, queueOptions: { durable: true } };
  const client = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { ...common, persistent: true },
  });
  if (publishes) await client.connect();
  const microservice = handle && (await listen(target, handle, common));
  return {
    publish: ({ data }) => lastValueFrom(client.emit(target.event, data), { defaultValue: undefined }),
    close: () => Promise.all([client.close(), microservice?.close()]),
  };
}

/**
 * @param {import('../harness/types.mjs').Target} target
 * @param {NonNullable<import('../harness/types.mjs').OpenRequest['handle']>} handle
 * @param {{ urls: string[], queue: string, queueOptions: object }} common
 */
async function listen(target, handle, common) {
  class Handler {
    /**
     * @param {import('../harness/types.mjs').EventData} data
     * @param {import('@nestjs/microservices').RmqContext} context
     */
    async handle(data, context) {
      await handle(data);
      context.getChannelRef().ack(context.getMessage());
    }
  }
  decorateMethod(Handler, 'handle', { method: [EventPattern(target.event)], parameters: [Payload(), Ctx()] });
  Controller()(Handler);

  class App {}
  Module({ controllers: [Handler] })(App);

  const microservice = await NestFactory.createMicroservice(App, {
    logger: ['error'],
    transport: Transport.RMQ,
    options: { ...common, noAck: false, prefetchCount: 100 },
  });
  await microservice.listen();
  return microservice;
}
