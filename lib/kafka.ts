export { kafka } from './transports/kafka/kafka.transport.js';
export type { KafkaCompression, KafkaOptions, KafkaSasl } from './transports/kafka/kafka.options.js';
export type { KafkaTopicChoice } from './transports/kafka/kafka.topics.js';
