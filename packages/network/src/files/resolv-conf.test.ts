import { describe, expect, test } from "bun:test";
import { buildResolvConf, chooseResolvConfPath } from "./resolv-conf.ts";

const request = { host: "", servers: [], search: [], options: [], isolated: true };
/** The directives, without comments and empty lines. */
const directives = (options: Partial<Parameters<typeof buildResolvConf>[0]>): string[] =>
  buildResolvConf({ ...request, ...options })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

describe("from the host's file", () => {
  const host = [
    "# comment",
    "; comment",
    "nameserver 192.0.2.53",
    "nameserver 127.0.0.1",
    "nameserver ::1",
    "nameserver 2001:db8::53",
    "nameserver notanip",
    "domain old.example",
    "search one.example  two.example",
    "options ndots:2",
    "options timeout:1 rotate",
    "sortlist 10.0.0.0",
    "nameserver 127.0.0.53",
  ].join("\n");

  test("servers that a container cannot reach are left out, the others are kept", () => {
    expect(directives({ host })).toEqual([
      "nameserver 192.0.2.53",
      "search one.example two.example",
      "options ndots:2 timeout:1 rotate",
      "sortlist 10.0.0.0",
    ]);
  });
  test("all of them stay with host networking", () => {
    expect(directives({ host, isolated: false }).filter((line) => line.startsWith("nameserver"))).toEqual([
      "nameserver 192.0.2.53",
      "nameserver 127.0.0.1",
      "nameserver ::1",
      "nameserver 2001:db8::53",
      "nameserver 127.0.0.53",
    ]);
  });
  test("when no name server is left, public ones and a comment about this", () => {
    expect(directives({ host: "nameserver 127.0.0.53\noptions edns0 trust-ad" })).toEqual([
      "nameserver 8.8.8.8",
      "nameserver 8.8.4.4",
      "options edns0 trust-ad",
    ]);
    expect(buildResolvConf(request)).toContain("# Used default nameservers.");
    expect(directives({ isolated: false })).toEqual([]);
  });
});

describe("the user's settings", () => {
  test("replace the host's, each kind separately, also loopback servers", () => {
    expect(
      directives({
        host: "nameserver 192.0.2.53\nsearch host.example\noptions ndots:5",
        servers: ["203.0.113.53", "127.0.0.1"],
        search: ["example.test"],
        options: ["ndots:3", "timeout:3"],
      }),
    ).toEqual(["nameserver 203.0.113.53", "nameserver 127.0.0.1", "search example.test", "options ndots:3 timeout:3"]);
    expect(directives({ host: "nameserver 192.0.2.53\nsearch host.example", options: ["ndots:1"] })).toEqual([
      "nameserver 192.0.2.53",
      "search host.example",
      "options ndots:1",
    ]);
  });
  test("a search of . means none", () => {
    expect(directives({ host: "nameserver 192.0.2.53\nsearch host.example", search: ["."] })).toEqual([
      "nameserver 192.0.2.53",
    ]);
  });
  test("are named in the comment", () => {
    expect(buildResolvConf({ ...request, servers: ["192.0.2.1"], options: ["x"] })).toContain(
      "# Overrides: [nameservers options]",
    );
  });
});

test("for systemd-resolved's stub, its real servers are used", () => {
  expect(chooseResolvConfPath("nameserver 127.0.0.53\n")).toBe("/run/systemd/resolve/resolv.conf");
  expect(chooseResolvConfPath("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")).toBe("/etc/resolv.conf");
  expect(chooseResolvConfPath("")).toBe("/etc/resolv.conf");
});
