// Whoever calls the public interface can name its types: each type that a declaration mentions is exported by an entry.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type TypeScript from 'typescript';

const ts = createRequire(import.meta.url)('typescript') as typeof TypeScript;
const dist = fileURLToPath(new URL('../../dist/esm/', import.meta.url));
const { exports } = createRequire(import.meta.url)('../../package.json') as { exports: Record<string, { import?: { types: string } } | string> };
const entries = Object.values(exports).flatMap((entry) => (typeof entry === 'object' && entry.import ? [fileURLToPath(new URL(`../../${entry.import.types}`, import.meta.url))] : []));

/** The types of this package that the public interface mentions, and those of them that no entry exports. */
function mentions(): { seen: Set<string>; missing: Set<string> } {
  const program = ts.createProgram(entries, { noEmit: true, module: ts.ModuleKind.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022 });
  const checker = program.getTypeChecker();
  const real = (symbol: TypeScript.Symbol): TypeScript.Symbol => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
  const open = entries.flatMap((entry) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!).map(real));
  const exported = new Set(open);
  const [seen, missing] = [new Set<string>(), new Set<string>()];
  const visited = new Set<TypeScript.Symbol>();
  const visit = (symbol: TypeScript.Symbol): void => {
    if (visited.has(symbol)) return;
    visited.add(symbol);
    for (const declaration of symbol.declarations ?? []) if (declaration.getSourceFile().fileName.startsWith(dist)) walk(declaration);
  };
  const walk = (node: TypeScript.Node): void => {
    const name = ts.isTypeReferenceNode(node) ? node.typeName : ts.isExpressionWithTypeArguments(node) ? node.expression : ts.isTypeQueryNode(node) ? node.exprName : undefined;
    const found = name && checker.getSymbolAtLocation(name);
    const symbol = found && real(found);
    const declaration = symbol?.declarations?.[0];
    if (symbol && declaration?.getSourceFile().fileName.startsWith(dist) && !ts.isTypeParameterDeclaration(declaration)) {
      seen.add(symbol.name);
      // A helper that is its file's own is looked through: it stands for what it is made of.
      const local = !(ts.getCombinedModifierFlags(declaration as TypeScript.Declaration) & ts.ModifierFlags.Export);
      if (!local && !exported.has(symbol)) missing.add(symbol.name);
      visit(symbol);
    }
    ts.forEachChild(node, walk);
  };
  open.forEach(visit);
  return { seen, missing };
}

test('every type that the public interface mentions is exported', () => {
  assert.ok(entries.length >= 3 && readdirSync(dist).length > 5);
  const { seen, missing } = mentions();
  assert.ok(['User', 'Snapshot', 'ConnectionState', 'WebSocketLike', 'NIMUser', 'FriendView'].every((name) => seen.has(name)), [...seen].join());
  assert.deepEqual([...missing], []);
});
