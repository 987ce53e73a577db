import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import { attemptOf } from '../core/events-context.js';
import { ownProperty } from './own-property.js';

type Pipe = Type<PipeTransform> | PipeTransform;

const dataOf = createParamDecorator((property: string | undefined, context: ExecutionContext): unknown => {
  const data: unknown = context.getArgByIndex(0);
  if (property === undefined) return data;
  return ownProperty(data, property);
});

/** The event's data, or one property of it; pipes run on it: `@Payload() order`, `@Payload('total', ParseFloatPipe) total`. */
export function Payload(...pipes: Pipe[]): ParameterDecorator;
export function Payload(property: string, ...pipes: Pipe[]): ParameterDecorator;
export function Payload(first?: string | Pipe, ...rest: Pipe[]): ParameterDecorator {
  if (typeof first === 'string') return dataOf(first, ...rest);
  return first === undefined ? dataOf() : dataOf(undefined, first, ...rest);
}

/** The whole envelope: id, name, time, key, headers, data. */
export const EventEnvelope = createParamDecorator(
  (_: unknown, context: ExecutionContext): unknown => attemptOf(context).envelope,
);

/** This attempt: its number, the delivery, and a signal that says when to stop working. */
export const EventAttempt = createParamDecorator((_: unknown, context: ExecutionContext): unknown =>
  attemptOf(context),
);
