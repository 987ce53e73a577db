import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import { isBatch } from '../core/batch.js';
import { attemptOf, type HandlerArguments } from '../core/events-context.js';
import { payloadOf } from './payload.js';

type Pipe = Type<PipeTransform> | PipeTransform;

const dataOf = createParamDecorator((property: string | undefined, context: ExecutionContext): unknown =>
  payloadOf(context.getArgs<HandlerArguments & unknown[]>(), property),
);

/**
 * The event's data, or one property of it; pipes run on it: `@Payload() order`, `@Payload('total', ParseFloatPipe) total`.
 * In a batch handler, a list of them.
 */
export function Payload(...pipes: Pipe[]): ParameterDecorator;
export function Payload(property: string, ...pipes: Pipe[]): ParameterDecorator;
export function Payload(first?: string | Pipe, ...rest: Pipe[]): ParameterDecorator {
  if (typeof first === 'string') return dataOf(first, ...rest);
  return first === undefined ? dataOf() : dataOf(undefined, first, ...rest);
}

/** The whole envelope: id, name, time, key, headers, data. In a batch handler, the list of envelopes. */
export const EventEnvelope = createParamDecorator((_: unknown, context: ExecutionContext): unknown => {
  const attempt = attemptOf(context);
  return isBatch(attempt) ? attempt.envelopes : attempt.envelope;
});

/** This attempt: its number, the delivery (or those of the batch), and a signal that says when to stop working. */
export const EventAttempt = createParamDecorator((_: unknown, context: ExecutionContext): unknown =>
  attemptOf(context),
);
