/**
 * EROFS images: from a tree to the file that kernels mount, and back.
 *
 * @packageDocumentation
 */
export type { ErofsVersion } from './format.ts'
export { imageObjects } from './objects.ts'
export { type ImageContents, type ReadImageOptions, readImage } from './reader.ts'
export { imageStream, type MakeImageOptions, makeImage, type WriteImageOptions, writeImage } from './writer.ts'
