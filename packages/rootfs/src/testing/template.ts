import type { Template } from '../template.js';

/** A template as a build records it. */
export const BASE: Template = {
  name: 'base',
  imageId: 'img0123456789abcdefghij',
  recipeHash: 'f00d',
  description: 'the base',
  user: 'user',
  vcpus: 1,
  memoryMb: 512,
  diskBytes: 8_589_934_592,
  sizeBytes: 512_000_000,
  createdAt: '2026-01-02T03:04:05.678Z',
};
