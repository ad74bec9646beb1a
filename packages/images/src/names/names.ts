/** Names of images: setting and moving tags. */
import {
  canonicalString,
  familiarString,
  parseReference,
  refuseAsTag,
  withDefaultTag,
  withTag,
  type Digest,
  type Reference,
} from "@fathom/spec";
import type { HeldImage } from "@fathom/store";
import { configOf, type ImageContext } from "../context.ts";
import { findHeld } from "./find.ts";

/** A tag from the API's two parameters. @throws invalid-argument */
export function parseRepositoryTag(repository: string, tag: string | undefined): Reference {
  const reference = parseReference(repository);
  refuseAsTag(reference);
  return withDefaultTag(tag === undefined || tag === "" ? reference : withTag(reference, tag));
}

export function tagImage(context: ImageContext, name: string, reference: Reference): void {
  setTag(context, findHeld(context, name), reference);
}

/** Sets or moves a name, with its time and event. */
export function setTag(context: ImageContext, image: HeldImage, reference: Reference): void {
  setName(context, image, reference);
  publishImage(context, "tag", image.images[0], familiarString(reference));
}

/** The same without the event, for actions that have an event of their own. */
export function setName(context: ImageContext, { target, images, content }: HeldImage, reference: Reference): void {
  const name = canonicalString(reference);
  context.store.images.tag({ name, target, images, content });
  context.setTagTime(name);
}

export function publishImage(context: ImageContext, action: string, id: Digest, name: string): void {
  const labels = context.store.content.info(id) === undefined ? {} : (configOf(context, id).config?.Labels ?? {});
  context.publish(action, id, { ...labels, name });
}
