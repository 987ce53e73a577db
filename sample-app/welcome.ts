import type { AppConfig } from './config/app.config.js';

const BODY = `'{"userId":"ada","items":[{"sku":"tea","quantity":2,"price":4.5}]}'`;

/** What the terminal shows once the app stands: where it is and what to try. */
export function welcome({ host, transport, databaseUrl }: AppConfig, port: number): string {
  const url = `http://${addressOf(host)}:${port}`;
  const post = (path: string, body: string): string =>
    `curl -s -X POST ${url}${path} -H 'content-type: application/json' -d ${body}`;
  return [
    '',
    `The checkout is open at ${url} (a page that shows both ways side by side)`,
    `Events go over ${transport}${transport === 'memory' ? ', and those on their way are lost with the process' : ''}; ` +
      `effects go to ${databaseUrl === undefined ? 'an embedded PostgreSQL' : 'the PostgreSQL of DATABASE_URL'}.`,
    '',
    'Try:',
    `  ${post('/checkout', BODY)}`,
    `  ${post('/checkout/sync', BODY)}`,
    `  curl -s ${url}/orders/<orderId>`,
    '',
    'Break analytics, check out both ways again, and look at the dead letters:',
    `  ${post('/simulate', `'{"service":"analytics","failing":true}'`)}`,
    `  curl -s ${url}/dead-letters`,
    '',
  ].join('\n');
}

/** What a browser on this machine can open: every interface is no address, and IPv6 wants brackets. */
function addressOf(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

/** Where events go, without the password. */
export function brokerOf({ transport, kafkaBrokers, rabbitmqUrl }: AppConfig): string {
  return transport === 'rabbitmq' ? `RabbitMQ at ${new URL(rabbitmqUrl).host}` : `Kafka at ${kafkaBrokers.join(', ')}`;
}

/** One message and what to do, instead of a stack. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  return taken ? `${error.message}. Set PORT to another one (0 takes any that is free).` : error.message;
}
