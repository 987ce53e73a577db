import { afterEach } from '@jest/globals';
import type { LoggerService, ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  ActivityStream,
  DeadLetterService,
  EventBus,
  EventsModule,
  type Activity,
  type DeadLetter,
  type EventsModuleOptions,
} from '../../lib/index.js';
import { eventually } from './eventually.js';
import { RecordingLogger } from './recording-logger.js';

export interface AppParts extends ModuleMetadata {
  /** Over the defaults of these tests: the service `shop`, the memory transport, quick retries. */
  readonly options?: Partial<EventsModuleOptions>;
  /** Instead of `forRoot` with these options. */
  readonly events?: NonNullable<ModuleMetadata['imports']>[number];
}

export const QUICK: EventsModuleOptions = {
  service: 'shop',
  retry: { attempts: 4, backoff: { type: 'fixed', initialMs: 5, maxMs: 5, jitter: false } },
};

/** A started Nest application with what happened in it. */
export class TestApp {
  readonly activities: Activity[] = [];
  readonly bus: EventBus;

  constructor(
    readonly module: TestingModule,
    readonly logger: RecordingLogger,
  ) {
    this.bus = module.get(EventBus);
    module.get(ActivityStream).activities.subscribe((activity) => this.activities.push(activity));
  }

  of<T extends Activity['type']>(type: T): Extract<Activity, { type: T }>[] {
    return this.activities.filter((activity): activity is Extract<Activity, { type: T }> => activity.type === type);
  }

  /** Waits until that many activities of a kind have happened. */
  async saw<T extends Activity['type']>(type: T, count = 1): Promise<Extract<Activity, { type: T }>[]> {
    await eventually(() => this.of(type).length >= count, { what: `${count} × ${type}`, deadlineMs: 5_000 });
    return this.of(type);
  }

  get operators(): DeadLetterService {
    return this.module.get(DeadLetterService);
  }

  async deadLetters(handler: string, group = 'shop'): Promise<readonly DeadLetter[]> {
    return (await this.operators.list({ group, handler }, { limit: 1_000 })).items;
  }

  close(): Promise<void> {
    return this.module.close();
  }
}

/** Starts applications; those that still run after a test are closed. */
export function useApps(): (parts?: AppParts) => Promise<TestApp> {
  const started: TestApp[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((app) => app.close()));
  });
  return async (parts) => {
    const app = await startApp(parts);
    started.push(app);
    return app;
  };
}

async function startApp({ options, events, imports = [], ...rest }: AppParts = {}): Promise<TestApp> {
  const logger = new RecordingLogger();
  const module = await Test.createTestingModule({
    imports: [events ?? EventsModule.forRoot({ ...QUICK, ...options }), ...imports],
    ...rest,
  })
    .setLogger(nestLogger(logger))
    .compile();
  const app = new TestApp(module, logger);
  await module.init();
  return app;
}

function nestLogger(logger: RecordingLogger): LoggerService {
  const text =
    (write: (message: string) => void) =>
    (message: unknown): void =>
      write(String(message));
  return { log: text(logger.log), warn: text(logger.warn), error: text(logger.error), debug: text(logger.debug) };
}
