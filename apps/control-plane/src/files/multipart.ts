import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import busboy from 'busboy';

/** Longest text field; a path has at most 4,095 bytes. */
const MAX_FIELD_BYTES = 8192;
const MAX_FIELDS = 16;

/** The file of a form and the text fields before it. */
export interface FormFile {
  readonly fields: ReadonlyMap<string, string>;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * Hands over the one file of a multipart/form-data body while it is still arriving.
 *
 * @param take gets the file and must read it to its end
 * @throws DormouseError `invalid_request` for a body that is no form or has no file
 */
export async function withFormFile<Result>(
  headers: IncomingHttpHeaders,
  body: AsyncIterable<Uint8Array>,
  take: (file: FormFile) => Promise<Result>,
): Promise<Result> {
  const parser = createParser(headers);
  const fields = new Map<string, string>();
  const source = Readable.from(body, { objectMode: false });
  try {
    return await new Promise<Result>((resolve, reject) => {
      let taken: Promise<void> | undefined;
      const failed = (thrown: unknown) =>
        reject(thrown instanceof DormouseError ? thrown : malformed(thrown));
      parser.on('field', (name, value, info) => {
        if (info.valueTruncated) failed(tooLong(name));
        else fields.set(name, value);
      });
      parser.on('file', (_name, file) => {
        // Who reads the file is told; one that is not read may break as well.
        file.on('error', () => undefined);
        if (taken !== undefined) {
          file.resume();
          failed(new DormouseError('invalid_request', 'send one file in one form'));
          return;
        }
        // The parser reports a body that breaks off on the file it breaks off in.
        taken = take({ fields, bytes: file }).then(resolve, (error) => {
          file.resume();
          reject(fromUnknown(error));
        });
      });
      parser.on('close', () => {
        if (taken === undefined) failed(new DormouseError('invalid_request', 'the form has no file'));
      });
      parser.on('error', failed);
      source.on('error', failed);
      source.pipe(parser);
    });
  } finally {
    source.unpipe(parser);
    parser.destroy();
    source.destroy();
  }
}

function createParser(headers: IncomingHttpHeaders): busboy.Busboy {
  try {
    return busboy({ headers, limits: { fieldSize: MAX_FIELD_BYTES, fields: MAX_FIELDS } });
  } catch (error) {
    throw malformed(error);
  }
}

function malformed(cause: unknown): DormouseError {
  return new DormouseError('invalid_request', 'the body is not a complete multipart/form-data form', {
    cause,
  });
}

function tooLong(name: string): DormouseError {
  return new DormouseError('invalid_request', `${name}: must have at most ${MAX_FIELD_BYTES} bytes`);
}
