export { rabbitmq } from './transports/rabbitmq/rabbitmq.transport.js';
export type {
  RabbitmqHandlerOptions,
  RabbitmqOptions,
  RabbitmqQueueOptions,
  RabbitmqTlsOptions,
} from './transports/rabbitmq/rabbitmq.options.js';
