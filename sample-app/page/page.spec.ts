import { Script } from 'node:vm';
import { describe, expect, test } from '@jest/globals';
import { PAGE } from './page.js';
import { SCRIPT } from './page.script.js';

describe('the page', () => {
  test('has a script that a browser can read', () => {
    expect(() => new Script(SCRIPT)).not.toThrow();
    expect(SCRIPT).not.toContain('</script');
  });

  test('never turns text from the server into HTML', () => {
    expect(SCRIPT).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/);
  });

  test('loads nothing from elsewhere', () => {
    expect(PAGE).not.toMatch(/https?:\/\//);
  });
});
