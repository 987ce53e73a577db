import { ConsoleLogger } from '@nestjs/common';

/** Nest tells at length how it was put together, which here would hide where to look first. */
const LEFT_OUT = new Set(['NestFactory', 'InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestApplication']);

export class QuietLogger extends ConsoleLogger {
  constructor() {
    super({ logLevels: ['log', 'warn', 'error', 'fatal'] });
  }

  override log(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    if (typeof context === 'string' && LEFT_OUT.has(context)) return;
    super.log(message, ...rest);
  }
}
