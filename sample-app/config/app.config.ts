import { registerAs, type ConfigType } from '@nestjs/config';
import { z } from 'zod';

const url = (...protocols: string[]): z.ZodType<string> =>
  z.string().refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    error: `must be a URL like ${protocols[0]}//user:password@host:port/…`,
  });

const broker = /^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}$/;

const environment = z.object({
  TRANSPORT: z.enum(['memory', 'kafka', 'rabbitmq'], { error: 'must be memory, kafka or rabbitmq' }).default('memory'),
  KAFKA_BROKERS: z
    .string()
    .transform((list) => list.split(',').map((each) => each.trim()))
    .refine((list) => list.every((each) => broker.test(each)), { error: 'must be host:port, several with commas' })
    .default(['127.0.0.1:9092']),
  RABBITMQ_URL: url('amqp:', 'amqps:').default('amqp://events:events-secret@127.0.0.1:5672'),
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  PORT: z
    .string()
    .refine((value) => /^\d{1,5}$/.test(value) && Number(value) <= 65_535, {
      error: 'must be a port from 0 (any that is free) to 65535',
    })
    .transform(Number)
    .default(3000),
  // Not every interface by default: the app has no log-in, and POST /simulate breaks it on purpose.
  HOST: z.string().default('127.0.0.1'),
  SIMULATED_LATENCY_SCALE: z
    .string()
    .refine((value) => /^\d+(\.\d+)?$/.test(value), { error: 'must be a number: 1 as in life, 0 for no waiting' })
    .transform(Number)
    .default(1),
});

/** What the environment says, checked. An empty variable counts as absent, as most shells and compose files mean it. */
export function readConfig(variables: NodeJS.ProcessEnv) {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const result = environment.safeParse(given);
  if (!result.success) throw new ConfigError(result.error.issues, given);
  const { data } = result;
  return {
    transport: data.TRANSPORT,
    kafkaBrokers: data.KAFKA_BROKERS,
    rabbitmqUrl: data.RABBITMQ_URL,
    databaseUrl: data.DATABASE_URL,
    port: data.PORT,
    host: data.HOST,
    latencyScale: data.SIMULATED_LATENCY_SCALE,
  };
}

/** Inject it with `@Inject(appConfig.KEY) config: AppConfig`. */
export const appConfig = registerAs('app', () => readConfig(process.env));
export type AppConfig = ConfigType<typeof appConfig>;

/** Every bad value at once, by the name of its variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(issues: readonly z.core.$ZodIssue[], given: Readonly<Record<string, string | undefined>>) {
    const lines = issues.map(({ path, message }) => {
      const name = String(path[0]);
      return `  ${name} ${message}${shown(name, given[name])}`;
    });
    super(['The environment holds values the sample app cannot use:', ...lines].join('\n'));
  }
}

/** URLs hold passwords, which do not belong in a terminal or a log. */
function shown(name: string, value: string | undefined): string {
  return name.endsWith('_URL') || value === undefined ? '' : `, but is ${JSON.stringify(value)}`;
}
