/**
 * The builder: a Dockerfile and a context of files become an image.
 *
 * Terms: a *stage* begins with FROM. A *step* is one instruction of a stage. The *target* is the stage that becomes the image. The *context* is
 * the directory of files that a client sent. A *key* is the digest that names the result of a step in the cache.
 *
 * Errors: `DockerfileError` (an EngineError, invalid-argument) for a file that cannot be read; it has the place in the file.
 */
export { DockerfileError, type Place } from "./dockerfile/dockerfile-error.ts";
