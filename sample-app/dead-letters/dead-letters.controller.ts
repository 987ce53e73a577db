import { Controller, Get } from '@nestjs/common';
import { DeadLetters } from 'nestjs-events';

/** The handlers whose dead letters are shown, by group and id. */
const HANDLERS = [
  { group: 'inventory', handler: 'reserve-stock' },
  { group: 'payment', handler: 'capture-payment' },
  { group: 'email', handler: 'confirmation-email' },
  { group: 'analytics', handler: 'track-order' },
  { group: 'orders', handler: 'complete-order' },
  { group: 'orders', handler: 'order-progress' },
];
const LIMIT = 100;

interface DeadLetterView {
  readonly group: string;
  readonly handler: string;
  readonly event: string | undefined;
  readonly id: string | undefined;
  readonly attempts: number;
  readonly error: string;
  readonly lastFailureAt: string;
}

@Controller('dead-letters')
export class DeadLettersController {
  constructor(private readonly deadLetters: DeadLetters) {}

  @Get()
  async list(): Promise<DeadLetterView[]> {
    const letters = await Promise.all(HANDLERS.map((each) => this.deadLetters.list({ ...each, limit: LIMIT })));
    return letters.flat().map(({ group, handler, event, id, attempts, error, lastFailureAt }) => ({
      group,
      handler,
      event,
      id,
      attempts,
      error: error.message, // without its stack: that is for the log, not for whoever asks
      lastFailureAt,
    }));
  }
}
