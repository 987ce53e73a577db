import type { LogEntry } from 'kafkajs';
import { printable, type EventsLogger } from '../../core/logger.js';

/** What of kafkajs's facts is worth a line. Never its configuration, which holds credentials. */
const FACTS = ['broker', 'groupId', 'topic', 'partition', 'error'] as const;
const ERROR = 1;

/**
 * kafkajs's failures that matter are thrown or end a consumer, and are told by whoever meets them. Its own log repeats
 * each retry as an error, so it goes to debug; what it only logs is a warning.
 */
const TOLD_ELSEWHERE = new Set([
  'Connection',
  'BrokerPool',
  'Cluster',
  'Producer',
  'Consumer',
  'ConsumerGroup',
  'Runner',
  'Admin',
]);

export function kafkajsLog(name: string, logger: EventsLogger): () => (entry: LogEntry) => void {
  return () =>
    ({ namespace, level, log }) => {
      const line = `${name}: kafkajs ${namespace}: ${printable(log.message)}${factsOf(log)}`;
      const loud = (level as number) === ERROR && !TOLD_ELSEWHERE.has(namespace.replace(/ .*/, ''));
      if (loud) logger.warn(line);
      else logger.debug(line);
    };
}

function factsOf(log: LogEntry['log']): string {
  const facts = FACTS.flatMap((fact) => {
    const value: unknown = log[fact];
    return typeof value === 'string' || typeof value === 'number' ? [`${fact}=${printable(String(value), 200)}`] : [];
  });
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`;
}
