import type { OpenApiDocument } from './document.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent); }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.55 system-ui, sans-serif; display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.25rem 1rem; border-right: 1px solid var(--line); font-size: 13px; }
nav a { display: block; padding: .15rem 0; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
nav a:hover { text-decoration: underline; }
nav h2 { margin: 1rem 0 .25rem; font-size: 12px; text-transform: uppercase; letter-spacing: .06em; opacity: .65; }
main { padding: 1.5rem 2rem 6rem; max-width: 62rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1rem; }
h3 { font-size: 16px; margin: 0 0 .25rem; }
h4 { margin: 1rem 0 .25rem; font-size: 13px; opacity: .7; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: 6px; margin: .25rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
td { border-top: 1px solid var(--line); padding: .3rem .75rem .3rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; }
.method { display: inline-block; min-width: 4.2em; font-weight: 700; text-transform: uppercase; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
`;

type Operation = NonNullable<NonNullable<OpenApiDocument['paths']>[string]['get']>;

interface Place {
  readonly method: string;
  readonly path: string;
  readonly anchor: string;
  readonly operation: Operation;
}

/** The document as one page that needs neither scripts nor anything from elsewhere. */
export function referencePage(document: OpenApiDocument): string {
  const places = operations(document);
  const tags = [...new Set(places.map(({ operation }) => operation.tags?.[0] ?? 'Other'))];
  const schemas = Object.entries(document.components?.schemas ?? {});
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(document.info.title)} API reference</title><style>${STYLE}</style></head><body>
<nav aria-label="Contents">${tags.map((tag) => contents(tag, places)).join('')}
<h2>Schemas</h2>${schemas.map(([name]) => `<a href="#schema-${escapeHtml(name)}">${escapeHtml(name)}</a>`).join('')}</nav>
<main><h1>${escapeHtml(document.info.title)} API <small>${escapeHtml(document.info.version)}</small></h1>
<p>${prose(document.info.description ?? '')}</p>
<p>Send the API key as <code>X-API-Key</code>. The document behind this page: <a href="/openapi.json">openapi.json</a>, <a href="/openapi.yaml">openapi.yaml</a>.</p>
${places.map(article).join('\n')}
<section><h2>Schemas</h2></section>
${schemas.map(([name, schema]) => `<section id="schema-${escapeHtml(name)}"><h3>${escapeHtml(name)}</h3>${code(schema)}</section>`).join('\n')}
</main></body></html>
`;
}

function operations(document: OpenApiDocument): Place[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      if (operation === undefined) return [];
      return [{ method, path, anchor: `${method}${path.replaceAll(/[^a-z0-9]+/gi, '-')}`, operation }];
    }),
  );
}

function contents(tag: string, places: readonly Place[]): string {
  const links = places
    .filter(({ operation }) => (operation.tags?.[0] ?? 'Other') === tag)
    .map(
      ({ anchor, operation, path }) => `<a href="#${anchor}">${escapeHtml(operation.summary ?? path)}</a>`,
    );
  return `<h2>${escapeHtml(tag)}</h2>${links.join('')}`;
}

function article({ method, path, anchor, operation }: Place): string {
  const parameters = (operation.parameters ?? []).flatMap((parameter) =>
    'name' in parameter
      ? [
          row(
            `<code>${escapeHtml(parameter.name)}</code> <small>${parameter.in}${parameter.required ? ', required' : ''}</small>`,
            prose(description(parameter.schema) ?? parameter.description ?? ''),
          ),
        ]
      : [],
  );
  const body =
    operation.requestBody !== undefined && 'content' in operation.requestBody
      ? Object.entries(operation.requestBody.content).map(
          ([type, { schema }]) => `<p><code>${escapeHtml(type)}</code> ${reference(schema)}</p>`,
        )
      : [];
  const answers = Object.entries(operation.responses ?? {}).map(
    ([status, response]: [
      string,
      { description?: string; content?: Record<string, { schema?: unknown }> },
    ]) =>
      row(
        `<code>${escapeHtml(status)}</code>`,
        `${prose(response.description ?? '')} ${Object.values(response.content ?? {})
          .map(({ schema }) => reference(schema))
          .join(' ')}`,
      ),
  );
  return `<section id="${anchor}"><h3>${escapeHtml(operation.summary ?? '')}</h3>
<p><code><span class="method">${method}</span>${escapeHtml(path)}</code></p><p>${prose(operation.description ?? '')}</p>
${parameters.length > 0 ? `<h4>Parameters</h4><table>${parameters.join('')}</table>` : ''}
${body.length > 0 ? `<h4>Body</h4>${body.join('')}` : ''}
<h4>Answers</h4><table>${answers.join('')}</table></section>`;
}

function row(left: string, right: string): string {
  return `<tr><td>${left}</td><td>${right}</td></tr>`;
}

/** A link to a named schema, or the schema itself. */
function reference(schema: unknown): string {
  if (typeof schema !== 'object' || schema === null) return '';
  if ('$ref' in schema && typeof schema.$ref === 'string') {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `<a href="#schema-${escapeHtml(name)}">${escapeHtml(name)}</a>`;
  }
  return code(schema);
}

function description(schema: unknown): string | undefined {
  if (typeof schema !== 'object' || schema === null || !('description' in schema)) return undefined;
  return typeof schema.description === 'string' ? schema.description : undefined;
}

function code(value: unknown): string {
  return `<pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre>`;
}

/** Text with `code` in backquotes. */
function prose(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
