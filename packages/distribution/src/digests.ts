/** Digests of bytes, by the algorithm that an expected digest names. */
import { sha256Digest, type Digest } from "@fathom/spec";

/** A sha512 digest when `like` is one, else sha256. */
export function digestOf(data: Uint8Array, like: Digest | undefined): Digest {
  if (!like?.startsWith("sha512:")) return sha256Digest(data);
  return `sha512:${new Bun.CryptoHasher("sha512").update(data).digest("hex")}` as Digest;
}
