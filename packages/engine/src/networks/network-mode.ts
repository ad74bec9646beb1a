/** What a container's network mode says: "host", "none", "container:ID", or a network's name. */
export type NetworkMode =
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  | { readonly kind: "container"; readonly container: string }
  | { readonly kind: "network"; readonly name: string };

/** Docker's name for the network of containers that ask for none. */
export const defaultNetworkName = "bridge";

/** Clients call the default network "default", or give no name. */
export function networkName(asked: string): string {
  return asked === "" || asked === "default" ? defaultNetworkName : asked;
}

export function parseNetworkMode(mode: string): NetworkMode {
  if (mode === "host") return { kind: "host" };
  if (mode === "none") return { kind: "none" };
  if (mode.startsWith("container:")) return { kind: "container", container: mode.slice("container:".length) };
  return { kind: "network", name: networkName(mode) };
}

/** The networks that Docker always has, and the client's name for the default one. */
export function isPredefined(name: string): boolean {
  return ["bridge", "host", "none", "default"].includes(name);
}
