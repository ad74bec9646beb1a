/** Digests of bytes, by the algorithm that an expected digest names. */
import { sha256Digest, type Digest } from "@fathom/spec";

/** sha256 unless `like` is a sha512 digest. */
export function digestOf(data: Uint8Array, like: Digest | undefined): Digest {
  if (!like?.startsWith("sha512:")) return sha256Digest(data);
  return `sha512:${new Bun.CryptoHasher("sha512").update(data).digest("hex")}` as Digest;
}
