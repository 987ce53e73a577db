// Writes docs/public-api.txt, or with --check compares it: what users can see changes on purpose only.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = resolve(fileURLToPath(import.meta.url), '../..');
const REPORT = resolve(ROOT, 'docs/public-api.txt');
const ENTRIES = {
  'nestjs-events': 'index',
  'nestjs-events/kafka': 'kafka',
  'nestjs-events/rabbitmq': 'rabbitmq',
  'nestjs-events/typeorm': 'typeorm',
  'nestjs-events/testing': 'testing',
};
const FORMAT = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.InTypeAlias;

const { config } = ts.readConfigFile(resolve(ROOT, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, ROOT);
const files = Object.values(ENTRIES).map((entry) => resolve(ROOT, 'lib', `${entry}.ts`));
const program = ts.createProgram(files, { ...options, noEmit: true });
const checker = program.getTypeChecker();

const report = Object.keys(ENTRIES)
  .map((name, index) => `# ${name}\n\n${exportsOf(program.getSourceFile(files[index])).join('\n')}\n`)
  .join('\n');

if (!process.argv.includes('--check')) {
  writeFileSync(REPORT, report);
} else if (readFileSync(REPORT, 'utf8') !== report) {
  console.error(
    'The public API differs from docs/public-api.txt. If that is meant: npm run api, and tell it in CHANGELOG.md.',
  );
  process.exitCode = 1;
}

/** @param {ts.SourceFile | undefined} file */
function exportsOf(file) {
  const module = file === undefined ? undefined : checker.getSymbolAtLocation(file);
  if (module === undefined) throw new Error('an entry exports nothing');
  return checker
    .getExportsOfModule(module)
    .map((symbol) =>
      describe(symbol.name, symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol),
    )
    .sort();
}

/** @param {string} name @param {ts.Symbol} symbol */
function describe(name, symbol) {
  const declaration = symbol.declarations?.[0];
  if (declaration === undefined) throw new Error(`${name} is not declared`);
  if (ts.isInterfaceDeclaration(declaration))
    return `interface ${name} ${membersOf(checker.getDeclaredTypeOfSymbol(symbol), declaration)}`;
  if (ts.isTypeAliasDeclaration(declaration))
    return `type ${name} = ${checker.typeToString(checker.getDeclaredTypeOfSymbol(symbol), declaration, FORMAT)}`;
  const type = checker.getTypeOfSymbolAtLocation(symbol, declaration);
  if (!ts.isClassDeclaration(declaration)) return `const ${name}: ${checker.typeToString(type, declaration, FORMAT)}`;
  const instance = checker.getDeclaredTypeOfSymbol(symbol);
  const make = type
    .getConstructSignatures()
    .map((signature) => checker.signatureToString(signature, declaration, FORMAT));
  return `class ${name} new ${make.join(' | ')} static ${membersOf(type, declaration)} ${membersOf(instance, declaration)}`;
}

/** @param {ts.Type} type @param {ts.Node} at */
function membersOf(type, at) {
  const own = type.getProperties().filter((member) => isPublic(member) && member.name !== 'prototype');
  const lines = own.map((member) => {
    const optional = member.flags & ts.SymbolFlags.Optional ? '?' : '';
    return `  ${member.name}${optional}: ${checker.typeToString(checker.getTypeOfSymbolAtLocation(member, at), at, FORMAT)}`;
  });
  return lines.length === 0 ? '{}' : `{\n${lines.sort().join('\n')}\n}`;
}

/** @param {ts.Symbol} member */
function isPublic(member) {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const declared = member.declarations?.[0];
  // Under a symbol of the library's own: nobody else has it.
  if (member.name.startsWith('__@')) return false;
  // What comes from Node's or TypeScript's own types is theirs to change.
  if (declared === undefined || !declared.getSourceFile().fileName.startsWith(resolve(ROOT, 'lib'))) return false;
  return (ts.getCombinedModifierFlags(declared) & hidden) === 0 && !ts.isPrivateIdentifier(declared.name ?? declared);
}
