/**
 * @nestjs/microservices over Kafka: ClientKafka.emit and a microservice with @EventPattern. Options: `partitionsAtOnce`;
 * `onError: 'give-up'`, an exception filter as its documentation has it for a largest number of attempts. Without it what
 * a handler throws goes to kafkajs, which tries again.
 */
import 'reflect-metadata';
import { Controller, Module, UseFilters } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { Kafka } from 'kafkajs';
import { lastValueFrom } from 'rxjs';
import { decorateMethod } from './decorate.mjs';
import { GiveUpFilter } from './nest-kafka-filter.mjs';

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
  if (options.onError) await createTopic(brokers, deadLettersOf(target));
  const microservice = handle && (await listen({ target, options, handle, brokers }));
  return {
    publish: ({ key, data }) => lastValueFrom(client.emit(target.name, { key, value: data })),
    deadLetters: { broker: 'kafka', ...(options.onError ? { deadLetters: deadLettersOf(target) } : {}) },
    close: () => Promise.all([client.close(), microservice?.close()]),
  };
}

/** @param {import('../harness/types.mjs').Target} target */
const deadLettersOf = ({ group }) => `${group}.dlq`;

/**
 * @param {string[]} brokers
 * @param {string} topic
 */
async function createTopic(brokers, topic) {
  const admin = new Kafka({ brokers, clientId: 'bench' }).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic }], waitForLeaders: true });
  await admin.disconnect();
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
  if (options.onError) UseFilters(new GiveUpFilter(deadLettersOf(target)))(Handler);

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
