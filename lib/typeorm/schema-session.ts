/** One connection: a query runner of TypeORM's, or pg's client in a wrapper. */
export interface SchemaSession {
  /** Resolves with the rows of a SELECT. */
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
}
