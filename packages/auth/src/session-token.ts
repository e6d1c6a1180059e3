import { randomBytes } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';

/** How long a login lasts. */
export const SESSION_SEC: number = 6 * 60 * 60;

/** Bytes of the secret: as many as the digest of HS256 has, the least RFC 7518 allows. */
export const TOKEN_SECRET_BYTES = 32;

const ALGORITHM = 'HS256';
const ISSUER = 'dormouse';
const AUDIENCE = 'dormouse:v1';

/** Kind of the token, in its header: one of another kind, signed with the same secret, is no login (RFC 8725, 3.11). */
const TYPE = 'dormouse-session+jwt';

/** Beginning of every JWT: `{"` in base64url. */
const JWT_PATTERN = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Who logged in, and for which team. */
export interface Session {
  readonly userId: string;
  readonly teamId: string;
}

/** A token to hand out. */
export interface SessionToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/** A new secret to sign with. */
export function generateTokenSecret(): Uint8Array {
  return randomBytes(TOKEN_SECRET_BYTES);
}

/** Whether a credential is meant to be a session's token. */
export function looksLikeToken(text: string): boolean {
  return JWT_PATTERN.test(text);
}

/** Makes and reads the tokens of sessions. */
export class SessionTokens {
  readonly #secret: Uint8Array;
  readonly #now: () => number;

  /**
   * @param secret 32 bytes
   * @param now milliseconds since 1970, for tests
   */
  constructor(secret: Uint8Array, now: () => number = Date.now) {
    if (secret.length !== TOKEN_SECRET_BYTES) {
      throw new RangeError(`a token secret has ${TOKEN_SECRET_BYTES} bytes`);
    }
    this.#secret = secret;
    this.#now = now;
  }

  /** A token that is good for six hours. */
  async issue({ userId, teamId }: Session): Promise<SessionToken> {
    const issuedAt = Math.floor(this.#now() / 1000);
    const expiresAt = issuedAt + SESSION_SEC;
    const token = await new SignJWT({ team: teamId })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
      .setSubject(userId)
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setIssuedAt(issuedAt)
      .setExpirationTime(expiresAt)
      .sign(this.#secret);
    return { token, expiresAt: new Date(expiresAt * 1000) };
  }

  /**
   * The session of a token; undefined for one that is not ours, was changed, or is over. Algorithm, issuer, audience
   * and type are ours to say, never the token's.
   */
  async read(token: string): Promise<Session | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: AUDIENCE,
        typ: TYPE,
        requiredClaims: ['sub', 'team', 'iat', 'exp'],
        currentDate: new Date(this.#now()),
      });
      const { sub, team } = payload;
      return typeof sub === 'string' && typeof team === 'string' ? { userId: sub, teamId: team } : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}
