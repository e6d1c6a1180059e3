export {
  type ApiKeyDigest,
  asE2bKey,
  displayPrefix,
  equalHashes,
  generateApiKey,
  type NewApiKey,
  parseApiKey,
} from './api-key.js';
