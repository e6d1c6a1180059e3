import { stringify } from 'yaml';
import { type App, createPart } from '../http/app.js';
import { type OpenApiDocument, openApiDocument } from './document.js';
import { referencePage } from './page.js';

/** The page holds text and its own style; it runs nothing and loads nothing. */
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/**
 * The document and its readable form.
 *
 * @param app whose routes are described; complete when the first request comes
 */
export function referenceRoutes(app: App, version: string): App {
  const part = createPart();
  let made: OpenApiDocument | undefined;
  const document = () => {
    made ??= openApiDocument(app, version);
    return made;
  };
  part.get('/openapi.json', (c) => c.json(document()));
  part.get('/openapi.yaml', (c) =>
    c.body(stringify(document(), { aliasDuplicateObjects: false }), 200, {
      'Content-Type': 'application/yaml',
    }),
  );
  part.get('/docs', (c) => {
    c.header('Content-Security-Policy', PAGE_POLICY);
    return c.html(referencePage(document()));
  });
  return part;
}
