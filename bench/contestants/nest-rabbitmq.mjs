/**
 * @nestjs/microservices over RabbitMQ: ClientRMQ.emit and a microservice with @EventPattern, acks by hand, prefetch 100.
 * Without an option, what fails is never acknowledged: its documentation acks at the end of the handler and says nothing
 * of errors. Option `onError: 'nack'`: refused, on a queue with a dead-letter exchange.
 */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, Ctx, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { connect } from 'amqplib';
import { lastValueFrom } from 'rxjs';
import { decorateMethod } from './decorate.mjs';

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, publishes, handle }) {
  const queue = `${target.group}.handler`;
  const deadLetters = options.onError === 'nack' ? `${queue}.dlq` : undefined;
  const common = { urls: [target.address], queue, queueOptions: { durable: true, ...deadLettering(deadLetters) } };
  if (deadLetters) await declareQueue(target.address, deadLetters);
  const client = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { ...common, persistent: true },
  });
  if (publishes) await client.connect();
  const microservice = handle && (await listen(target, { handle, nacks: deadLetters !== undefined }, common));
  return {
    publish: ({ data }) => lastValueFrom(client.emit(target.event, data), { defaultValue: undefined }),
    deadLetters: { broker: 'rabbitmq', ...(deadLetters ? { deadLetters } : {}) },
    close: () => Promise.all([client.close(), microservice?.close()]),
  };
}

/**
 * @param {import('../harness/types.mjs').Target} target
 * @param {{ handle: NonNullable<import('../harness/types.mjs').OpenRequest['handle']>, nacks: boolean }} handling
 * @param {{ urls: string[], queue: string, queueOptions: object }} common
 */
async function listen(target, { handle, nacks }, common) {
  class Handler {
    /**
     * @param {import('../harness/types.mjs').EventData} data
     * @param {import('@nestjs/microservices').RmqContext} context
     */
    async handle(data, context) {
      try {
        await handle(data);
      } catch (error) {
        if (!nacks) throw error;
        context.getChannelRef().nack(context.getMessage(), false, false);
        return;
      }
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

/** @param {string | undefined} queue */
function deadLettering(queue) {
  return queue ? { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue } } : {};
}

/**
 * @param {string} address
 * @param {string} queue
 */
async function declareQueue(address, queue) {
  const connection = await connect(address);
  await (await connection.createChannel()).assertQueue(queue, { durable: true });
  await connection.close();
}
