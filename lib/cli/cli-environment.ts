/** What a command has of the process it runs in. */
export interface CliEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Takes the exit code of the command that runs. */
export type Finish = (exitCode: number) => void;

export const EXIT = { done: 0, behind: 1, error: 2 } as const;
