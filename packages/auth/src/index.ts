export {
  type ApiKeyDigest,
  asE2bKey,
  displayPrefix,
  equalHashes,
  generateApiKey,
  type NewApiKey,
  parseApiKey,
} from './api-key.js';
export { hashPassword, needsRehash, PASSWORD_COST, type PasswordCost, verifyPassword } from './password.js';
export {
  isCommonPassword,
  MAX_PASSWORD_LENGTH,
  MIN_PASSWORD_LENGTH,
  passwordProblem,
} from './password-policy.js';
export {
  ALL_PERMISSIONS,
  isAllowed,
  maySetRole,
  type Permission,
  ROLES,
  type Role,
  roleOfKey,
} from './permissions.js';
export {
  generateTokenSecret,
  looksLikeToken,
  SESSION_SEC,
  type Session,
  type SessionToken,
  SessionTokens,
  TOKEN_SECRET_BYTES,
} from './session-token.js';
export { generateWebhookSecret, signWebhook } from './webhook-signature.js';
