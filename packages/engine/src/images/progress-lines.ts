/** Docker's progress lines, as the docker CLI reads them, made of the typed events of `@fathom/images`. Only this file has these words. */
import {
  platformMismatchText,
  type LayerProgress,
  type LoadEvent,
  type PullEvent,
  type PullPhase,
  type PushEvent,
} from "@fathom/images";
import { canonicalName, canonicalString, familiarString, type ProgressMessage, humanSize } from "@fathom/spec";

/** The progress bar, for clients that print it and do not draw their own. */
export function progressBar(current: number, total: number): string {
  const filled = Math.min(50, Math.floor((current / total) * 50));
  const bar = "=".repeat(filled) + (filled < 50 ? `>${" ".repeat(49 - filled)}` : ">");
  return `[${bar.slice(0, 51)}]  ${humanSize(current)}/${humanSize(total)}`;
}

/** A status line of one layer with its progress in bytes. */
function barMessage(id: string, status: string, current: number, total: number): ProgressMessage {
  return { status, progressDetail: { current, total }, progress: progressBar(current, total), id };
}

/** A status line of one layer. */
function layerMessage(id: string, status: string): ProgressMessage {
  return { status, progressDetail: {}, id };
}

/** The 12 digits that clients show for a layer. */
function shownDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

export function pullLines(event: PullEvent): readonly ProgressMessage[] {
  switch (event.kind) {
    case "pulling": {
      const { reference } = event;
      const id = reference.digest === undefined ? reference.tag! : canonicalString(reference);
      return [{ status: `Pulling from ${reference.repository}`, id }];
    }
    case "layer":
      return pulledLayerLines(event);
    case "resolved":
      return [{ status: `Digest: ${event.digest}` }];
    case "done": {
      const shown = familiarString(event.reference);
      return [
        { status: `Status: ${event.changed ? "Downloaded newer image" : "Image is up to date"} for ${shown}` },
        ...event.mismatches.map(({ reference, own, wanted }) => ({
          status: `WARNING: ${platformMismatchText(familiarString(reference), own, wanted)}`,
        })),
      ];
    }
  }
}

function pulledLayerLines({ layer, phase, current, total }: LayerProgress<PullPhase>): readonly ProgressMessage[] {
  const id = shownDigest(layer);
  switch (phase) {
    case "present":
      return [layerMessage(id, "Already exists")];
    case "queued":
      return [layerMessage(id, "Pulling fs layer")];
    case "waiting":
      return [layerMessage(id, "Waiting")];
    case "downloading":
      return [barMessage(id, "Downloading", current, total)];
    case "downloaded":
      return [
        layerMessage(id, "Verifying Checksum"),
        layerMessage(id, "Download complete"),
        // The layer was unpacked while it arrived.
        ...(total > 0 ? [barMessage(id, "Extracting", total, total)] : []),
      ];
    case "unpacked":
      return [layerMessage(id, "Pull complete")];
  }
}

const pushWords = {
  queued: "Preparing",
  present: "Layer already exists",
  pushing: "Pushing",
  pushed: "Pushed",
} as const;

export function pushLines(event: PushEvent): readonly ProgressMessage[] {
  switch (event.kind) {
    case "pushing":
      return [{ status: `The push refers to repository [${canonicalName(event.reference)}]` }];
    case "layer": {
      const id = shownDigest(event.layer);
      const status = pushWords[event.phase];
      return [
        event.phase === "pushing" ? barMessage(id, status, event.current, event.total) : layerMessage(id, status),
      ];
    }
    case "mounted":
      return [layerMessage(shownDigest(event.layer), `Mounted from ${event.from}`)];
    case "done": {
      const { reference, digest, manifestBytes } = event;
      return [
        { status: `${reference.tag}: digest: ${digest} size: ${manifestBytes}` },
        { progressDetail: {}, aux: { Tag: reference.tag, Digest: digest, Size: manifestBytes } },
      ];
    }
  }
}

export function loadLines({ image, name, replaced }: LoadEvent): readonly ProgressMessage[] {
  if (name === undefined) return [{ stream: `Loaded image ID: ${image}\n` }];
  const shown = familiarString(name);
  return [
    ...(replaced === undefined
      ? []
      : [{ stream: `The image ${shown} already exists, renaming the old one with ID ${replaced} to empty string\n` }]),
    { stream: `Loaded image: ${shown}\n` },
  ];
}
