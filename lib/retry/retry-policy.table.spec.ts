import { describe, expect, test } from '@jest/globals';
import { BadRequestException, ForbiddenException, HttpException, NotFoundException } from '@nestjs/common';
import { BatchError } from '../core/batch-error.js';
import type { DeliveryHistory } from '../core/delivery.js';
import { EventsError } from '../core/errors.js';
import { outcome, type Outcome } from '../core/outcome.js';
import { mergeRetry, type RetryOverrides } from '../core/retry-options.js';
import { decide, DEFAULT_RETRY } from './retry-policy.js';

class OutOfStock extends Error {}
class SoldOut extends OutOfStock {}

const NOW = 1_000_000;
const boom = new Error('boom');
const coded = (code: string, cause?: unknown): Error => Object.assign(new Error(code, { cause }), { code });
const ours = (code: ConstructorParameters<typeof EventsError>[0]): EventsError =>
  new EventsError(code, 'failed', { remedy: 'Mend it.' });
const refused = coded('ECONNREFUSED');
const network = new TypeError('fetch failed', { cause: coded('ENOTFOUND') });
const serialization = coded('40001');
const busy = ours('EVENTS_DUPLICATE_BUSY');
const soldOut = new SoldOut('none left');
const wrapped = new Error('the order failed', { cause: soldOut });
const batch = new BatchError([{ index: 0, error: soldOut }]);

/** Another attempt after so many milliseconds, which uses this one up. */
const again =
  (afterMs: number) =>
  (error: unknown): Outcome =>
    outcome.retry(error, { afterMs });
/** Another attempt that uses nothing up. */
const free =
  (afterMs: number) =>
  (error: unknown): Outcome =>
    outcome.retry(error, { afterMs, counts: false });
const pause =
  (afterMs: number) =>
  (error: unknown): Outcome =>
    outcome.retry(error, { afterMs, dependency: true });
const dead = outcome.deadLetter;
const drop =
  (code: string) =>
  (error: unknown): Outcome =>
    outcome.drop(`dropped by a rule of retry: ${code}`, error);

const rules = (...given: NonNullable<RetryOverrides['rules']>): RetryOverrides => ({ rules: given });
const LIST: RetryOverrides = { backoff: { type: 'list', delaysMs: [10, 1_000] }, attempts: 9 };
const SOON: RetryOverrides = { maxElapsedMs: 1_000, attempts: 99 };

type Row = [
  what: string,
  error: unknown,
  history: Partial<DeliveryHistory>,
  RetryOverrides,
  (error: unknown) => Outcome,
];

const TABLE: Row[] = [
  // The defaults of the design.
  ['a first failure', boom, {}, {}, again(100)],
  ['the second', boom, { attempt: 2 }, {}, again(200)],
  ['the third', boom, { attempt: 3 }, {}, again(400)],
  ['the last of four', boom, { attempt: 4 }, {}, dead],
  ['something thrown that is no error', 'text', {}, {}, again(100)],
  ['a TypeError of the handler', new TypeError('x is not a function'), {}, {}, again(100)],
  ['a refused connection', refused, {}, {}, pause(100)],
  ['a refused connection, at the last attempt', refused, { attempt: 4 }, {}, pause(100)],
  ['a refused connection, the ninth time', refused, { dependencyFailures: 8 }, {}, pause(5_000)],
  ['a refused connection, long after the first failure', refused, { retryingSince: 0 }, SOON, pause(100)],
  ['a reset connection', coded('ECONNRESET'), {}, {}, pause(100)],
  ["a client's timeout", coded('ETIMEDOUT'), {}, {}, pause(100)],
  ['an exhausted pool', new Error('timeout exceeded when trying to connect'), {}, {}, pause(100)],
  ['a database that is shutting down', coded('57P01'), {}, {}, pause(100)],
  ['a broker that is away', ours('EVENTS_TRANSPORT_UNREACHABLE'), {}, {}, pause(100)],
  ["fetch's TypeError with a network cause", network, {}, {}, pause(100)],
  ['a serialization failure', serialization, { attempt: 4 }, {}, free(10)],
  ['a deadlock, the fifth time', coded('40P01'), { conflicts: 4 }, {}, free(160)],
  ['the 21st conflict in a row', serialization, { conflicts: 20 }, {}, again(100)],
  ['the 21st at the last attempt', serialization, { conflicts: 20, attempt: 4 }, {}, dead],
  ['another delivery that is still handled', busy, { attempt: 4 }, {}, free(100)],
  ['the same for long', busy, { conflicts: 9_999 }, {}, free(5_000)],
  ['a denied guard', new ForbiddenException(), {}, {}, dead],
  ['a failed validation', new BadRequestException(), {}, {}, dead],
  ['HTTP 422', new HttpException('no', 422), {}, {}, dead],
  ['HTTP 404, which says nothing about the event', new NotFoundException(), {}, {}, again(100)],
  ['HTTP 503', new HttpException('later', 503), {}, {}, again(100)],
  ['an undecodable event', ours('EVENTS_UNDECODABLE'), {}, {}, dead],
  ['an id that no store can hold', ours('EVENTS_ENVELOPE_INVALID'), {}, {}, dead],
  // Backoff and how long.
  ['fixed', boom, { attempt: 3 }, { backoff: { type: 'fixed', initialMs: 70 } }, again(70)],
  ['the first of a list', boom, {}, LIST, again(10)],
  ['the second of a list', boom, { attempt: 2 }, LIST, again(1_000)],
  ['beyond the list', boom, { attempt: 8 }, LIST, again(1_000)],
  ['within maxElapsedMs', boom, { attempt: 4, retryingSince: NOW - 200 }, SOON, again(800)],
  ['an attempt that would begin after it', boom, { attempt: 4, retryingSince: NOW - 201 }, SOON, dead],
  ['the first failure starts the clock', boom, { firstFailureAt: 0 }, SOON, again(100)],
  // Rules.
  ['a class', soldOut, {}, rules({ class: SoldOut, action: 'dead-letter' }), dead],
  ['a class above it', soldOut, {}, rules({ class: OutOfStock, action: 'dead-letter' }), dead],
  ['a class of the cause', wrapped, {}, rules({ class: SoldOut, action: 'dead-letter' }), dead],
  ['a class of one of several errors', batch, {}, rules({ class: SoldOut, action: 'drop' }), drop('BatchError')],
  ['another class', boom, {}, rules({ class: SoldOut, action: 'dead-letter' }), again(100)],
  ['a code', coded('23505'), {}, rules({ code: '23505', action: 'drop' }), drop('23505')],
  ['one of several codes', coded('23505'), {}, rules({ code: ['1', '23505'], action: 'drop' }), drop('23505')],
  [
    'a code of the cause',
    new Error('x', { cause: coded('X1') }),
    {},
    rules({ code: 'X1', action: 'dead-letter' }),
    dead,
  ],
  ["a class's name as the code", new RangeError('r'), {}, rules({ code: 'RangeError', action: 'dead-letter' }), dead],
  ['a predicate', boom, {}, rules({ when: (error) => error === boom, action: 'dead-letter' }), dead],
  ['a predicate that says no', boom, {}, rules({ when: () => false, action: 'dead-letter' }), again(100)],
  ['a predicate that throws', boom, {}, rules({ when: thrower, action: 'dead-letter' }), again(100)],
  ['a class without the code', soldOut, {}, rules({ class: SoldOut, code: 'X', action: 'dead-letter' }), again(100)],
  [
    'the first rule of two',
    soldOut,
    {},
    rules({ class: SoldOut, action: 'retry-now' }, { class: OutOfStock, action: 'dead-letter' }),
    again(0),
  ],
  ['a rule before the kind', refused, {}, rules({ code: 'ECONNREFUSED', action: 'dead-letter' }), dead],
  [
    'a rule that retries a denied guard',
    new ForbiddenException(),
    {},
    rules({ when: yes, action: 'back-off' }),
    again(100),
  ],
  ['retry-now', boom, { attempt: 3 }, rules({ when: yes, action: 'retry-now' }), again(0)],
  ['retry-now at the last attempt', boom, { attempt: 4 }, rules({ when: yes, action: 'retry-now' }), dead],
  [
    'retry-now with attempts of its own',
    boom,
    { attempt: 2 },
    rules({ when: yes, action: 'retry-now', attempts: 2 }),
    dead,
  ],
  [
    'retry-now after its maxElapsedMs',
    boom,
    { attempt: 2, retryingSince: NOW - 51 },
    rules({ when: yes, action: 'retry-now', maxElapsedMs: 50 }),
    dead,
  ],
  [
    'back-off with a backoff of its own',
    boom,
    { attempt: 2 },
    rules({ when: yes, action: 'back-off', backoff: { initialMs: 7 } }),
    again(14),
  ],
  [
    'back-off with more attempts',
    boom,
    { attempt: 4 },
    rules({ when: yes, action: 'back-off', attempts: 5 }),
    again(800),
  ],
  ['pause', boom, { attempt: 4 }, rules({ when: yes, action: 'pause' }), pause(100)],
  ['pause for a while', boom, {}, rules({ when: yes, action: 'pause', pauseMs: 60_000 }), pause(60_000)],
  [
    'pause, the breaker waits longer',
    boom,
    { dependencyFailures: 9 },
    rules({ when: yes, action: 'pause', pauseMs: 1 }),
    pause(5_000),
  ],
];

function yes(): boolean {
  return true;
}

function thrower(): boolean {
  throw new Error('a mistake');
}

describe('what follows a failure', () => {
  test.each(TABLE)('%s', (_, error, history, overrides, expected) => {
    const noJitter = { jitter: false };
    const options = mergeRetry(
      mergeRetry(DEFAULT_RETRY, { backoff: noJitter, breaker: { backoff: noJitter } }),
      overrides,
    );
    const about = { attempt: 1, dependencyFailures: 0, conflicts: 0, ...history };
    // A random number of 0 takes away the jitter of what has no option.
    const circumstances = { options, now: NOW, random: () => 0, broken: () => undefined };
    expect(decide(error, about, circumstances)).toEqual(expected(error));
  });

  test("a handler's rules come before the module's", () => {
    const module = mergeRetry(DEFAULT_RETRY, rules({ when: yes, action: 'drop' }));
    const handler = mergeRetry(module, rules({ class: SoldOut, action: 'dead-letter' }));
    expect(handler.rules.map(({ action }) => action)).toEqual(['dead-letter', 'drop']);
  });

  test('tells which predicate has thrown, and goes on with the next rule', () => {
    const broken: unknown[] = [];
    const options = mergeRetry(
      DEFAULT_RETRY,
      rules({ when: thrower, action: 'drop' }, { when: yes, action: 'dead-letter' }),
    );
    const decided = decide(
      boom,
      { attempt: 1, dependencyFailures: 0, conflicts: 0 },
      { options, now: NOW, random: () => 0, broken: ({ action }, thrown) => broken.push([action, thrown]) },
    );
    expect(decided).toEqual(dead(boom));
    expect(broken).toEqual([['drop', new Error('a mistake')]]);
  });
});
