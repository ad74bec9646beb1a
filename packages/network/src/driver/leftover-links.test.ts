import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { NETLINK_ROUTE } from "@fathom/sys";
import { NetlinkConnection } from "../netlink/connection.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import { LeavingLinks } from "./leftover-links.ts";

test("an interface that the kernel does not delete is deleted by the next sweep", () => {
  const kernel = new FakeKernel();
  kernel.links.set("veth1", { index: 7, kind: "veth", master: 5 });
  using route = new NetlinkConnection(kernel.sys, NETLINK_ROUTE);
  const leaving = new LeavingLinks(route, 5, silentLogger);
  leaving.add("veth1");
  // The list, then the deletion.
  kernel.failRequest = 2;
  leaving.sweep();
  expect([...kernel.links.keys()]).toEqual(["veth1"]);
  leaving.sweep();
  expect([...kernel.links.keys()]).toEqual([]);
});
