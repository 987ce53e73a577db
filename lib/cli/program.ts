import { Command, CommanderError } from 'commander';
import { isEventsError, messageOf, withoutCredentials } from '../core/errors.js';
import { EXIT, type CliEnvironment } from './cli-environment.js';
import { addDbCommand } from './db.command.js';

/** Resolves with the exit code. */
export async function runCli(args: readonly string[], environment: CliEnvironment): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = new Command('nestjs-events')
    .description('Tools of nestjs-events for deploy steps and people.')
    .exitOverride()
    .configureOutput({ writeOut: environment.out, writeErr: environment.err });
  addDbCommand(program, environment, (code) => (exitCode = code));
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Help that was asked for is no error; what commander refuses, it has told already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.error;
    const code = isEventsError(error) ? ` (${error.code})` : '';
    environment.err(`error: ${withoutCredentials(messageOf(error))}${code}\n`);
    return EXIT.error;
  }
}
