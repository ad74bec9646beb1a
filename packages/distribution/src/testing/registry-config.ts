/** For tests: settings of a client that reaches a scripted registry. */
import type { RegistryConfig } from "../contract.ts";

export const defaultRegistryConfig: RegistryConfig = {
  insecureRegistries: [],
  mirrors: [],
  certificateDirectories: ["/etc/fathom/certs.d", "/etc/docker/certs.d"],
  idleTimeoutMs: 60_000,
  attempts: 5,
  userAgent: "fathom",
};
