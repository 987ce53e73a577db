import { describe, expect, it } from '@jest/globals';
import {
  BadRequestException,
  ForbiddenException,
  NotFoundException,
  ServiceUnavailableException,
} from '@nestjs/common';
import { EventsError } from '../core/errors.js';
import { kindOf } from './error-kinds.js';

const coded = (code: string, message = 'failed'): Error => Object.assign(new Error(message), { code });
const ours = (code: ConstructorParameters<typeof EventsError>[0]): EventsError =>
  new EventsError(code, 'failed', { remedy: 'Mend it.' });

describe('the kind of an error', () => {
  it.each([
    ['a refused connection', coded('ECONNREFUSED')],
    ['a reset connection', coded('ECONNRESET')],
    ['fetch that found no network', new TypeError('fetch failed', { cause: coded('ENOTFOUND') })],
    ['a database that is shutting down', coded('57P01')],
    ['too many connections', coded('53300')],
    ['an exhausted pool', new Error('timeout exceeded when trying to connect')],
    [
      "an ORM's wrapper around a lost connection",
      Object.assign(new Error('query failed'), { driverError: coded('08006') }),
    ],
    ['all addresses refused', new AggregateError([coded('ECONNREFUSED'), coded('ECONNREFUSED')])],
    ['a broker that is away', ours('EVENTS_TRANSPORT_UNREACHABLE')],
    [
      'a cause four levels down',
      new Error('a', { cause: new Error('b', { cause: new Error('c', { cause: coded('EPIPE') }) }) }),
    ],
  ])('%s is a dependency error: it waits and uses up no attempt', (_, error) => {
    expect(kindOf(error)).toBe('dependency');
  });

  it.each([
    ['a serialization failure', coded('40001')],
    ['a deadlock', coded('40P01')],
    ["an ORM's wrapper around a deadlock", Object.assign(new Error('query failed'), { driverError: coded('40P01') })],
    [
      'a transaction whose deadlock the handler has swallowed',
      new EventsError('EVENTS_TRANSACTION_ABORTED', 'failed', { remedy: 'Mend it.', cause: coded('40P01') }),
    ],
  ])('%s is a conflict: it runs again and uses up no attempt', (_, error) => {
    expect(kindOf(error)).toBe('conflict');
  });

  it.each([
    ['a denied guard', new ForbiddenException()],
    ['a failed validation', new BadRequestException()],
    ['an undecodable event', ours('EVENTS_UNDECODABLE')],
    ['an id the database cannot hold', ours('EVENTS_ENVELOPE_INVALID')],
    ['an event without the key of its handler', ours('EVENTS_IDEMPOTENCY_KEY_INVALID')],
  ])('%s is permanent: another attempt cannot change it', (_, error) => {
    expect(kindOf(error)).toBe('permanent');
  });

  it.each([
    ['a plain error', new Error('boom')],
    ['a TypeError of the handler itself', new TypeError('x is not a function')],
    ['a unique violation', coded('23505')],
    ['an HTTP 404', new NotFoundException()],
    ['an HTTP 503 thrown by the handler', new ServiceUnavailableException()],
    ['a string', 'boom'],
    ['undefined', undefined],
    ['null', null],
  ])('%s is transient: retried by the policy', (_, error) => {
    expect(kindOf(error)).toBe('transient');
  });

  it('another delivery of the same event that is still being handled makes it busy: nothing is broken', () => {
    expect(kindOf(ours('EVENTS_DUPLICATE_BUSY'))).toBe('busy');
    expect(kindOf(new Error('wrapped', { cause: ours('EVENTS_DUPLICATE_BUSY') }))).toBe('busy');
  });

  it('looks at an error that causes itself without going round for ever', () => {
    const error = new Error('loop');
    error.cause = error;
    expect(kindOf(error)).toBe('transient');
  });
});
