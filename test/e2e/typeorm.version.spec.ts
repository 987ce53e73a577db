import { expect, test } from '@jest/globals';
import * as typeorm from 'typeorm';

/** Set by the project of jest.config.mjs that runs these files. */
declare const TYPEORM: string | undefined;

test('the files named typeorm.* run on the TypeORM that their project names', () => {
  // Removed in 1.0.
  const isBeforeOne = 'getConnection' in typeorm;
  expect(isBeforeOne ? '0.3' : '1').toBe(TYPEORM);
});
