import { Catch } from '@nestjs/common';
import { BaseRpcExceptionFilter } from '@nestjs/microservices';
import { from, map } from 'rxjs';

const ATTEMPTS = 4;

/**
 * Gives an event up after four attempts: what Nest's documentation shows for Kafka, with the counting that it leaves to the
 * reader (the header it reads is written by nobody) and a topic for dead letters.
 */
export class GiveUpFilter extends BaseRpcExceptionFilter {
  /** @type {Map<string, number>} attempts by partition and offset */
  #attempts = new Map();

  /** @param {string} deadLetters a topic */
  constructor(deadLetters) {
    super();
    this.deadLetters = deadLetters;
  }

  /**
   * @param {unknown} exception
   * @param {import('@nestjs/common').ArgumentsHost} host
   */
  catch(exception, host) {
    /** @type {import('@nestjs/microservices').KafkaContext} */
    const context = host.switchToRpc().getContext();
    const { key, value, offset } = context.getMessage();
    const place = `${context.getPartition()}/${offset}`;
    const attempts = (this.#attempts.get(place) ?? 0) + 1;
    this.#attempts.set(place, attempts);
    if (attempts < ATTEMPTS) return super.catch(exception, host);
    this.#attempts.delete(place);
    const letter = { key, value: JSON.stringify(value) };
    return from(context.getProducer().send({ topic: this.deadLetters, messages: [letter] })).pipe(map(() => undefined));
  }
}
Catch()(GiveUpFilter);
