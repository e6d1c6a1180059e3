export { replaceFile, syncDirectory, syncFile } from './commit.js';
export { type BuildOptions, buildTemplate, removeAbandonedBuilds } from './image-builder.js';
export { ensureKernel, findKernel, type Kernel } from './kernel.js';
export { createLayer, flattenLayer, type LayerBacking } from './layer.js';
export { type LayerHeader, readLayerHeader } from './layer-header.js';
export type { Progress, ProgressListener } from './progress.js';
export { loadRecipe, type Recipe } from './recipe.js';
export { findTemplate, imagePath, listTemplates, type Template } from './template.js';
export { removeUnusedImages } from './unused-images.js';
