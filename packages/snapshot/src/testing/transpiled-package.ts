import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const SOURCE = fileURLToPath(new URL('..', import.meta.url));
const ERRORS = fileURLToPath(new URL('../../../errors/src/', import.meta.url));
const ZOD = fileURLToPath(new URL('../../../../node_modules/zod', import.meta.url));
const COMPILER_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
};

/**
 * Makes JavaScript of this package's present source below `directory`, so that a test can run it in processes of their
 * own without a build.
 *
 * @returns where the package's `src` is now
 */
export function transpilePackage(directory: string): string {
  const errors = join(directory, 'node_modules', '@dormouse', 'errors');
  const source = join(directory, 'src');
  transpileDirectory(SOURCE, source);
  transpileDirectory(ERRORS, errors);
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  writeFileSync(join(errors, 'package.json'), '{"type":"module","exports":"./index.js"}');
  symlinkSync(ZOD, join(directory, 'node_modules', 'zod'));
  return source;
}

function transpileDirectory(from: string, to: string): void {
  for (const name of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const target = join(to, name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(from, name), 'utf8'), {
      compilerOptions: COMPILER_OPTIONS,
    });
    writeFileSync(target, outputText);
  }
}
