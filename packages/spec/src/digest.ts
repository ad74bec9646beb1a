/** Content digests (OCI image-spec, descriptor.md#digests). Fathom makes only sha256 digests; it can parse sha512. */
import { EngineError, type Branded } from "@fathom/base";
import { refused, type Decoder } from "./decode/decoder.ts";
import { text, turned } from "./decode/exact.ts";

/** Digest of stored bytes: "sha256:" and 64 hex digits. */
export type Digest = Branded<string, "Digest">;
/** Digest of a layer's uncompressed tar. */
export type DiffId = Branded<string, "DiffId">;
/** Digest that identifies a stack of layers (image-spec config.md#layer-chainid). */
export type ChainId = Branded<string, "ChainId">;

const shape = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return shape.test(text);
}

function wrongDigest(text: string): string {
  return `invalid digest ${JSON.stringify(text)}: expected sha256:<64 hex digits>`;
}

/** A digest in a document. */
export const decodedDigest: Decoder<Digest> = turned(text, (value, path) => {
  if (!isDigest(value)) throw refused(path, wrongDigest(value));
  return value;
});

export const decodedDiffId: Decoder<DiffId> = turned(decodedDigest, parseDiffId);

export const decodedChainId: Decoder<ChainId> = turned(decodedDigest, parseChainId);

/** @throws invalid-argument */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new EngineError("invalid-argument", wrongDigest(text));
  return text;
}

export function parseDiffId(text: string): DiffId {
  return parseDigest(text) as string as DiffId;
}

export function parseChainId(text: string): ChainId {
  return parseDigest(text) as string as ChainId;
}

export function sha256Digest(data: Uint8Array | string): Digest {
  return `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}` as Digest;
}

/** The chain ids of a stack, lowest layer first: ChainID(L0)=DiffID(L0), ChainID(Ln)=sha256(ChainID(Ln-1) + " " + DiffID(Ln)). */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  let parent: ChainId | undefined;
  for (const diffId of diffIds) {
    parent =
      parent === undefined ? (diffId as string as ChainId) : (sha256Digest(`${parent} ${diffId}`) as string as ChainId);
    chain.push(parent);
  }
  return chain;
}
