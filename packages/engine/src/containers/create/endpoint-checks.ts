/** Checks of a request's endpoint settings that need no network: what no network accepts, and what this engine does not support yet. */
import { EngineError } from "@fathom/base";
import type { ContainerCreateRequest, EndpointSettings } from "@fathom/spec";
import { networkName } from "../../networks/network-mode.ts";

const predefined = ["bridge", "host", "none"];

/** @throws invalid-argument in Docker's words; not-implemented with the value */
export function checkEndpoints({ EndpointsConfig }: ContainerCreateRequest["NetworkingConfig"]): void {
  for (const [name, settings] of Object.entries(EndpointsConfig)) checkEndpoint(networkName(name), settings);
}

function checkEndpoint(network: string, { Aliases, IPAMConfig }: EndpointSettings): void {
  const { IPv6Address = "", LinkLocalIPs } = IPAMConfig ?? {};
  const problems: string[] = [];
  if (predefined.includes(network)) {
    if (IPv6Address !== "") problems.push("user-specified IP address is supported on user-defined networks only");
    if ((Aliases?.length ?? 0) > 0)
      problems.push("network-scoped aliases are only supported for user-defined networks");
  }
  if (problems.length > 0) {
    const list = problems.length === 1 ? problems : problems.map((problem) => `* ${problem}`);
    throw new EngineError(
      "invalid-argument",
      `invalid config for network ${network}: invalid endpoint settings:\n${list.join("\n")}`,
    );
  }
  const unsupported = (what: string): EngineError =>
    new EngineError("not-implemented", `invalid config for network ${network}: ${what} is not supported yet`);
  if (IPv6Address !== "") throw unsupported(`the IPv6 address ${IPv6Address}`);
  const [linkLocal] = LinkLocalIPs ?? [];
  if (linkLocal !== undefined) throw unsupported(`the link-local address ${linkLocal}`);
}
