import { InvalidArgumentError, Option, type Command } from 'commander';
import { DEFAULT_SCHEMA, MIGRATIONS, migrationsSql, quoteSchema } from '../typeorm/migrations.js';
import { migrateSchema, schemasFound, schemaStatus, type SchemaStatus } from '../typeorm/schema.js';
import { EXIT, type CliEnvironment, type Finish } from './cli-environment.js';
import { withDatabase } from './database.js';

interface DatabaseFlags {
  readonly url?: string;
  readonly schema: string;
}

const LATEST = MIGRATIONS.at(-1)?.version ?? 0;

/** `nestjs-events db status | migrate | sql`: the tables that the stores in PostgreSQL need. */
export function addDbCommand(program: Command, environment: CliEnvironment, finish: Finish): void {
  const db = program.command('db').description('The tables of nestjs-events in PostgreSQL.');
  addStatus(db, environment, finish);
  addMigrate(db, environment);
  addSql(db, environment);
}

function addStatus(db: Command, { env, out }: CliEnvironment, finish: Finish): void {
  onDatabase(db.command('status'))
    .description('Tell which migrations are applied. Exit code 0: up to date, 1: behind, 2: error.')
    .option('--json', 'print JSON')
    .action(async ({ url, schema, json }: DatabaseFlags & { readonly json?: true }) => {
      quoteSchema(schema);
      const { status, found } = await withDatabase(url ?? env['DATABASE_URL'], async (session) => ({
        status: await schemaStatus(session, schema),
        found: await schemasFound(session),
      }));
      out(json === true ? toJson(schema, status) : toText(schema, status, found));
      finish(status.missing.length === 0 ? EXIT.done : EXIT.behind);
    });
}

function addMigrate(db: Command, { env, out }: CliEnvironment): void {
  onDatabase(db.command('migrate'))
    .description('Apply what is missing, in one transaction. Processes that do this at once take turns.')
    .action(async ({ url, schema }: DatabaseFlags) => {
      quoteSchema(schema);
      const say = (text: string): void => out(`${text}\n`);
      const logger = { debug: say, log: say, warn: say, error: say };
      const applied = await withDatabase(url ?? env['DATABASE_URL'], (session) =>
        migrateSchema(session, schema, logger),
      );
      say(
        applied.length === 0
          ? `schema ${schema} is up to date already (version ${LATEST})`
          : `schema ${schema} is up to date now (version ${LATEST})`,
      );
    });
}

function addSql(db: Command, { out }: CliEnvironment): void {
  db.command('sql')
    .description('Print the migrations as one SQL script. Needs no database.')
    .addOption(schemaOption())
    .option('--from <version>', 'only what came after this version', wholeNumber, 0)
    .action(({ schema, from }: { readonly schema: string; readonly from: number }) =>
      out(migrationsSql({ schema, from })),
    );
}

function onDatabase(command: Command): Command {
  return command
    .option(
      '--url <url>',
      'postgres://user:password@host:port/database; default: DATABASE_URL, which other users cannot see',
    )
    .addOption(schemaOption());
}

function schemaOption(): Option {
  return new Option('--schema <name>', 'the schema of the tables').default(DEFAULT_SCHEMA);
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Not a whole number.');
}

function toJson(schema: string, { exists, applied, missing }: SchemaStatus): string {
  const upToDate = missing.length === 0;
  const pending = missing.map(({ version, name }) => ({ version, name }));
  return `${JSON.stringify({ schema, exists, upToDate, latest: LATEST, applied, missing: pending }, null, 2)}\n`;
}

function toText(schema: string, { exists, applied, missing }: SchemaStatus, found: readonly string[]): string {
  const line = ({ version, name }: { version: number; name: string }, state: string): string =>
    `  ${String(version).padStart(4)}  ${name.padEnd(32)}  ${state}\n`;
  const state = missing.length === 0 ? 'is up to date' : exists ? 'is behind' : 'does not exist';
  return [
    `schema ${schema} ${state}\n`,
    exists || found.length === 0 ? '' : `tables of nestjs-events were found in: ${found.join(', ')}\n`,
    ...applied.map((each) =>
      line(each, `applied ${each.appliedAt}${each.version > LATEST ? ' by a newer version' : ''}`),
    ),
    ...missing.map((each) => line(each, 'missing')),
    missing.length === 0 ? '' : 'Run "nestjs-events db migrate", or the SQL of "nestjs-events db sql".\n',
  ].join('');
}
