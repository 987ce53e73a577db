/** One step of the schema. Released steps are never changed: a later one adds to them. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  /** Statements for a quoted schema name. Only additions, so that a rolling deploy runs both versions. */
  readonly statements: (schema: string) => readonly string[];
}
