/** Image references by Docker's rules (distribution/reference). Parsing is in this file too. */
import type { Digest } from "./digest.ts";

export interface Reference {
  /** Registry host with port: "docker.io" for names without one. */
  readonly registry: string;
  /** Repository inside the registry: "library/alpine". */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}
