/**
 * What the parts of the benchmark hand to one another. Types only.
 *
 * @typedef {import('./events.mjs').EventData} EventData
 * @typedef {import('./events.mjs').OutgoingEvent} OutgoingEvent
 *
 * @typedef {object} Target where a run takes place: one topic, one exchange with its queue, or one schema, maybe with a topic
 * @property {string} address of the broker, or of the database
 * @property {string} [broker] its address, where there is a database too
 * @property {string} name of the topic, of the exchange, or of the schema; also the service of ours
 * @property {string} event the event's name or routing key
 * @property {string} group the consumer group; `<group>.handler` is the queue
 *
 * @typedef {object} OpenRequest
 * @property {Target} target
 * @property {Record<string, unknown>} options of the contestant, as the suite lists it
 * @property {boolean} publishes
 * @property {((data: EventData) => void | Promise<void>) | undefined} handle undefined: it does not consume
 * @property {(sequence: number) => void} [settled] called when the effect is committed and the event settled
 *
 * @typedef {object} DeadLetterPlace
 * @property {'kafka' | 'rabbitmq'} broker
 * @property {string} [deadLetters] the topic or queue; undefined: it has none
 * @property {readonly string[]} [others] queues in which events wait to come back
 *
 * @typedef {object} Session
 * @property {(event: OutgoingEvent) => Promise<unknown>} publish resolves when the broker has confirmed
 * @property {(events: OutgoingEvent[]) => Promise<unknown>} [publishMany] the same for several in one request
 * @property {() => Promise<unknown>} [relayed] resolves when an outbox is empty
 * @property {() => Promise<number>} [cleaned] resolves when old rows have been cleaned, with the rows a second
 * @property {DeadLetterPlace} [deadLetters] where to find what was given up
 * @property {() => Promise<unknown>} close
 *
 * @typedef {object} Contestant a module of `contestants/`
 * @property {(request: OpenRequest) => Promise<Session>} open a session that publishes also declares what it publishes to
 * @property {(request: OpenRequest) => Promise<void>} [declare] where it takes a consumer to declare its queue
 *
 * @typedef {object} Job what one child process does
 * @property {string} measure a module of `measures/`
 * @property {string} module a module of `contestants/`
 * @property {Record<string, unknown>} options
 * @property {Target} target
 * @property {Record<string, number>} settings of the measure
 *
 * @typedef {object} Metric
 * @property {string} [name] for measures that have several: `p50`
 * @property {string} unit
 * @property {number} value
 *
 * @typedef {object} Measured
 * @property {Metric[]} metrics
 * @property {number} [cpuMicroseconds] of the process, per event
 * @property {Record<string, number>} [facts] what else was counted, by its name
 * @property {boolean} [inOrder] whether events of one key were handled one after another, in order
 */
export {};
