/** @nestjs/microservices over Kafka: ClientKafka.emit and a microservice with @EventPattern. Option: `partitionsAtOnce`. */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { decorateMethod } from './decorate.mjs';

/**
 * @param {import('../harness/types.mjs').OpenRequest} request
 * @returns {Promise<import('../harness/types.mjs').Session>}
 */
export async function open({ target, options, publishes, handle }) {
  const brokers = target.address.split(',');
  const client = ClientProxyFactory.create({
    transport: Transport.KAFKA,
    options: { client: { clientId: 'bench', brokers }, producerOnlyMode: true },
  });
  if (publishes) await client.connect();
  const microservice = handle && (await listen({ target, options, handle, brokers }));
  return {
    publish: ({ key, data }) => lastValueFrom(client.emit(target.name, { key, value: data })),
    close: () => Promise.all([client.close(), microservice?.close()]),
  };
}

/** @param {Pick<import('../harness/types.mjs').OpenRequest, 'target' | 'options'> & { handle: NonNullable<import('../harness/types.mjs').OpenRequest['handle']>, brokers: string[] }} request */
async function listen({ target, options, handle, brokers }) {
  class Handler {
    /** @param {import('../harness/types.mjs').EventData} data */
    handle(data) {
      return handle(data);
    }
  }
  decorateMethod(Handler, 'handle', { method: [EventPattern(target.name)], parameters: [Payload()] });
  Controller()(Handler);

  class App {}
  Module({ controllers: [Handler] })(App);

  const microservice = await NestFactory.createMicroservice(App, {
    logger: ['error'],
    transport: Transport.KAFKA,
    options: {
      client: { clientId: 'bench', brokers },
      consumer: { groupId: target.group },
      subscribe: { fromBeginning: true },
      run: { partitionsConsumedConcurrently: Number(options.partitionsAtOnce ?? 1) },
    },
  });
  await microservice.listen();
  return microservice;
}
