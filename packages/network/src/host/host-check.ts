/** Checks whether this machine can do what the networks need, in network namespaces that end afterwards: it changes nothing of the host. */
import { messageOf, silentLogger } from "@fathom/base";
import { NETLINK_ROUTE, type Sys } from "@fathom/sys";
import { findLink } from "../driver/bridge-link.ts";
import { Firewall } from "../firewall/firewall.ts";
import { parseIpv4 } from "../ipam/ip.ts";
import { NetlinkConnection } from "../netlink/connection.ts";
import { createBridge, createVethPair } from "../netlink/link.ts";

export type NetworkTry = "namespace" | "bridge" | "veth" | "rules";

type CheckSys = Pick<
  Sys,
  "createNetworkNamespace" | "withNetworkNamespace" | "openNetlink" | "netlinkTransact" | "close"
>;

const bridgeName = "fathom-check";

/** What failed, with the kernel's words; undefined for what worked. Without a namespace, or a bridge for veth, the others are not tried. */
export function tryNetworks(sys: CheckSys): Map<NetworkTry, string | undefined> {
  const results = new Map<NetworkTry, string | undefined>();
  const attempt = (name: NetworkTry, action: () => void): boolean => {
    try {
      action();
      results.set(name, undefined);
      return true;
    } catch (error) {
      results.set(name, messageOf(error));
      return false;
    }
  };
  using resources = new DisposableStack();
  const open = (): number => {
    const fd = sys.createNetworkNamespace();
    resources.defer(() => sys.close(fd));
    return fd;
  };
  let host = -1;
  let container = -1;
  const separate = attempt("namespace", () => {
    host = open();
    container = open();
  });
  if (!separate) return results;
  const route = resources.use(new NetlinkConnection(sys, NETLINK_ROUTE, host));
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  if (attempt("bridge", () => void route.send([createBridge({ name: bridgeName, mac, mtu: 1500 })])))
    attempt("veth", () => {
      const masterIndex = findLink(route, bridgeName)!.index;
      const peer = { name: "eth0", namespaceFd: container };
      route.send([createVethPair({ name: "check", mtu: 1500, masterIndex, peer })]);
    });
  attempt("rules", () =>
    sys.withNetworkNamespace(host, () => {
      using firewall = new Firewall(sys, bridgeName, silentLogger);
      const usual = { masquerade: true, unprotected: false };
      const networks = [{ bridge: bridgeName, interContainer: false, internal: true, families: { ipv4: usual } }];
      const containerAddress = parseIpv4("192.0.2.2")!;
      const port = { hostPort: 80, containerAddress, containerPort: 80 };
      const ports = (["tcp", "udp", "sctp"] as const).map((protocol) => ({ ...port, protocol, hostAddress: 0 }));
      firewall.install(networks, ports, true);
    }),
  );
  return results;
}
