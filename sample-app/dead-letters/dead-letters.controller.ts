import { Body, Controller, Get, HttpCode, NotFoundException, ConflictException, Param, Post } from '@nestjs/common';
import {
  DeadLetterService,
  isEventsError,
  type Redrive,
  type RedriveResult,
  type StoredDeadLetter,
} from 'nestjs-events';
import { z } from 'zod';
import { ZodPipe } from '../http/zod.pipe.js';

const operator = z.strictObject({ by: z.string().min(1).max(200), note: z.string().max(2_000).optional() });
type OperatorRequest = z.infer<typeof operator>;

const LIMIT = 500;

/** What is shown: without the error's stack, which is for the log, and without the event's own data. */
function view({ id, group, handler, event, eventId, state, attempts, error, lastFailureAt }: StoredDeadLetter) {
  return { id, group, handler, event, eventId, state, attempts, error: error.message, lastFailureAt };
}

@Controller('dead-letters')
export class DeadLettersController {
  constructor(private readonly deadLetters: DeadLetterService) {}

  @Get()
  async list(): Promise<ReturnType<typeof view>[]> {
    const { items } = await this.deadLetters.list({}, { limit: LIMIT });
    return items.map(view);
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<ReturnType<typeof view>> {
    return view(await orHttp(this.deadLetters.get(id)));
  }

  /** Hands it to its handler again; `GET /dead-letters/redrives/<id>` tells how that went. */
  @Post(':id/redrive')
  @HttpCode(202)
  redrive(@Param('id') id: string, @Body(new ZodPipe(operator)) { by, note }: OperatorRequest): Promise<Redrive> {
    return orHttp(this.deadLetters.redrive(id, { by, ...(note === undefined ? {} : { note }) }));
  }

  @Post(':id/discard')
  @HttpCode(200)
  async discard(
    @Param('id') id: string,
    @Body(new ZodPipe(operator)) { by, note }: OperatorRequest,
  ): Promise<{ readonly discarded: number }> {
    return { discarded: await orHttp(this.deadLetters.discard(id, { by, ...(note === undefined ? {} : { note }) })) };
  }

  @Get('redrives/:id')
  async progress(@Param('id') id: string): Promise<Redrive & { readonly results: readonly RedriveResult[] }> {
    const redrive = await orHttp(this.deadLetters.redriveOf(id));
    return { ...redrive, results: (await this.deadLetters.results(id, { limit: LIMIT })).items };
  }
}

async function orHttp<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (isEventsError(error, 'EVENTS_DEAD_LETTER_NOT_FOUND') || isEventsError(error, 'EVENTS_REDRIVE_NOT_FOUND')) {
      throw new NotFoundException(error.problem);
    }
    if (isEventsError(error, 'EVENTS_DEAD_LETTER_STATE')) throw new ConflictException(error.problem);
    throw error;
  }
}
