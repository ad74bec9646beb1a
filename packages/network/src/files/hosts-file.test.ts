import { expect, test } from "bun:test";
import { buildHostnameFile, buildHostsFile, changeHostsFile, moveInHosts, removeFromHosts } from "./hosts-file.ts";

const base = { hostname: "box", domainname: "", addresses: ["172.17.0.2"], extraHosts: [] };

test("as Docker writes it: loopback, extra hosts, own name", () => {
  expect(buildHostsFile({ ...base, extraHosts: ["db:203.0.113.7", "six:2001:db8::1", "old:[2001:db8::2]"] })).toBe(
    [
      "127.0.0.1\tlocalhost",
      "::1\tlocalhost ip6-localhost ip6-loopback",
      "fe00::\tip6-localnet",
      "ff00::\tip6-mcastprefix",
      "ff02::1\tip6-allnodes",
      "ff02::2\tip6-allrouters",
      "203.0.113.7\tdb",
      "2001:db8::1\tsix",
      "2001:db8::2\told",
      "172.17.0.2\tbox",
      "",
    ].join("\n"),
  );
});

test("full names come before bare ones", () => {
  const last = (request: Partial<typeof base>): string =>
    buildHostsFile({ ...base, ...request })
      .trimEnd()
      .split("\n")
      .at(-1)!;
  expect(last({ domainname: "example.test" })).toBe("172.17.0.2\tbox.example.test box");
  expect(last({ hostname: "box.example.test" })).toBe("172.17.0.2\tbox.example.test box");
  expect(last({})).toBe("172.17.0.2\tbox");
});

test("without address no name; no IPv6 on a host without IPv6", () => {
  expect(buildHostsFile({ ...base, addresses: [] })).toEndWith("ff02::2\tip6-allrouters\n");
  expect(
    buildHostsFile({
      ...base,
      ipv6: false,
      extraHosts: ["six:2001:db8::1", "four:192.0.2.1"],
      addresses: ["172.17.0.2", "fd00::2"],
    }),
  ).toBe("127.0.0.1\tlocalhost\n192.0.2.1\tfour\n172.17.0.2\tbox\n");
});

test("hostname", () => expect(buildHostnameFile("box")).toBe("box\n"));

test("when addresses change, their lines change and all others stay", () => {
  const name = { hostname: "web", domainname: "" };
  const file = "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n10.0.0.9\tmine web\n";
  const change = (before: string[], after: string[]): string =>
    changeHostsFile(file, { ...name, addresses: before }, { ...name, addresses: after });
  expect(change(["10.0.0.2"], ["10.0.0.2", "10.1.0.2"])).toBe(`${file}10.1.0.2\tweb\n`);
  expect(change(["10.0.0.2"], ["10.1.0.2"])).toBe("127.0.0.1\tlocalhost\n10.0.0.9\tmine web\n10.1.0.2\tweb\n");
  expect(change(["10.0.0.2", "10.7.7.7"], [])).toBe("127.0.0.1\tlocalhost\n10.0.0.9\tmine web\n");
  expect(changeHostsFile("x", { ...name, addresses: [] }, { ...name, addresses: ["10.1.0.2"] })).toBe(
    "x\n10.1.0.2\tweb\n",
  );
});

test("lines of a linked container follow its addresses, and go with the link; a user's lines stay", () => {
  const file = "10.0.0.2\tdb store\nfd00::2\tdb store\n10.0.0.2\tdb2\n10.0.0.9 db\n# db\n";
  const moved = "10.0.0.7\tdb store\nfd00::2\tdb store\n10.0.0.2\tdb2\n10.0.0.9 db\n# db\n";
  expect(moveInHosts(file, "db", ["10.0.0.7"])).toBe(moved);
  expect(moveInHosts(file, "d", ["10.0.0.7"])).toBe(file);
  expect(removeFromHosts(moved, "db store")).toBe("10.0.0.2\tdb2\n10.0.0.9 db\n# db\n");
});
