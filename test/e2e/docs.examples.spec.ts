import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

/** What the examples take for granted. */
const PRELUDE = `
import { Injectable, Module } from '@nestjs/common';
import { ActivityStream, BatchError, DeadLetterService, EventBus, EventAttempt, EventEnvelope, EventsModule, IdempotencyKey, OnDeadLetter, OnEvent, OnEvents, Payload, outcome, type Attempt, type DeadLetter, type Envelope } from 'nestjs-events';
import { kafka } from 'nestjs-events/kafka';
import { typeormAttempts, typeormDeadLetters, typeormIdempotency } from 'nestjs-events/typeorm';
interface OrderPlaced { readonly orderId: string; readonly userId: string }
interface StockReserved { readonly userId: string; readonly totalCents: number }
interface PageViewed { readonly page: string }
declare class Mailer { send(to: string, text: string): Promise<void> }
declare const eventBus: EventBus;
declare const deadLetters: DeadLetterService;
declare const activityStream: ActivityStream;
declare const order: OrderPlaced;
declare const orders: { save(order: OrderPlaced): Promise<void> };
declare const pageViews: { insert(rows: readonly { id: string; page: string }[]): Promise<void> };
declare class CardDeclined extends Error {}
declare const brokers: string[];
declare const id: string;
declare const file: { write(line: string): void };
declare function alert(handler: string, error: unknown): void;
export { Injectable, Module, BatchError, EventAttempt, EventEnvelope, EventsModule, IdempotencyKey, OnDeadLetter, OnEvent, OnEvents, Payload, outcome, kafka, typeormAttempts, typeormDeadLetters, typeormIdempotency, CardDeclined, brokers, id, file, Mailer, eventBus, deadLetters, activityStream, order, orders, pageViews, alert };
export type { Attempt, DeadLetter, Envelope, OrderPlaced, PageViewed, StockReserved };
`;

const blocks = ['README.md', 'docs/guide.md', 'docs/effects-once.md', 'docs/failures.md'].flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match, index) => ({
    name: `${file}, example ${index + 1}`,
    code: match[1] as string,
  })),
);

/** What the class around a bare method has. */
const MEMBERS = `
declare payments: { charge(...args: unknown[]): Promise<void>; insert(row: object): Promise<void> };
declare reservations: { insert(row: object): Promise<void> };
declare provider: { charge(...args: unknown[]): Promise<void> };
declare events: EventBus;
declare pager: { page(text: string): Promise<void> };
`;

/** An example as a file of its own: a bare method gets a class around it, as in the text. */
function asFile(code: string): string {
  const wrapped = /^@On[A-Z]/.test(code) ? `class Example {${MEMBERS}${code}}\n` : code;
  return `${wrapped.startsWith('import') ? '' : PRELUDE}\n${wrapped}\nexport {};\n`;
}

describe('the examples of the documentation', () => {
  test('compile as they stand', () => {
    const root = process.cwd();
    const { compilerOptions } = JSON.parse(readFileSync('tsconfig.json', 'utf8')) as { compilerOptions: object };
    const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, root);
    const files = new Map(blocks.map(({ code }, index) => [resolve(root, `docs/example-${index}.ts`), asFile(code)]));
    const host = ts.createCompilerHost({ ...options, noEmit: true });
    const { fileExists, readFile } = host;
    host.fileExists = (path) => files.has(path) || fileExists(path);
    host.readFile = (path) => files.get(path) ?? readFile(path);
    const program = ts.createProgram([...files.keys()], { ...options, noEmit: true }, host);
    const problems = ts.getPreEmitDiagnostics(program).map((each) => {
      const index = [...files.keys()].indexOf(each.file?.fileName ?? '');
      return `${blocks[index]?.name ?? each.file?.fileName}: ${ts.flattenDiagnosticMessageText(each.messageText, ' ')}`;
    });
    expect(problems).toEqual([]);
    expect(blocks.length).toBeGreaterThan(6);
  });
});
