import { BadRequestException, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';

/** Checks a body and hands on what the schema makes of it; else 400 with every field that is wrong. */
export class ZodPipe<T> implements PipeTransform<unknown, T> {
  constructor(private readonly schema: z.ZodType<T>) {}

  transform(value: unknown): T {
    const result = this.schema.safeParse(value);
    if (result.success) return result.data;
    throw new BadRequestException({
      statusCode: 400,
      error: 'Bad Request',
      message: 'the body is not what this needs',
      fields: result.error.issues.map(({ path, message }) => ({ field: path.join('.') || 'body', problem: message })),
    });
  }
}
