export { type ErrorCode, type ErrorRow, errorRow, isErrorCode } from './codes.js';
export { DormouseError, type DormouseErrorOptions, fromUnknown, systemErrorCode } from './dormouse-error.js';
