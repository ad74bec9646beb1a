import { expect, test } from "bun:test";
import { parseAddressPrefix } from "@fathom/spec";
import { isInRange, isLoopbackHost } from "./addresses.ts";
import { proxyFor } from "./transport/proxy.ts";

test("ranges", () => {
  const range = parseAddressPrefix("10.1.0.0/16")!;
  expect(isInRange("10.1.255.1", range)).toBe(true);
  expect(isInRange("10.2.0.1", range)).toBe(false);
  expect(isInRange("::1", range)).toBe(false);
  expect(isInRange("fd00::1", parseAddressPrefix("fd00::/8")!)).toBe(true);
});

test("loopback", () => {
  for (const host of ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000", "::1"])
    expect(isLoopbackHost(host)).toBe(true);
  for (const host of ["127.0.0.1.example.com", "localhost.example", "10.0.0.1", "127.example:5000"])
    expect(isLoopbackHost(host)).toBe(false);
});

test("NO_PROXY", () => {
  const proxy = (url: string, no: string) => proxyFor(new URL(url), { http: "proxy:3128", https: "http://s:1", no });
  expect(proxy("http://a.example/", "")).toBe("http://proxy:3128");
  expect(proxy("https://a.example/", "")).toBe("http://s:1");
  expect(proxy("http://127.0.0.1:5000/", "")).toBeUndefined();
  expect(proxy("http://a.example/", "*")).toBeUndefined();
  expect(proxy("http://a.example/", "example")).toBeUndefined();
  expect(proxy("http://a.example/", ".example")).toBeUndefined();
  expect(proxy("http://example/", ".example")).toBe("http://proxy:3128");
  expect(proxy("http://example/", "example")).toBeUndefined();
  expect(proxy("http://aexample/", "example")).toBe("http://proxy:3128");
  expect(proxy("http://a.example:81/", "a.example:80")).toBe("http://proxy:3128");
  expect(proxy("http://a.example/", "a.example:80")).toBeUndefined();
  expect(proxy("http://10.1.2.3/", "10.0.0.0/8")).toBeUndefined();
  expect(proxy("http://10.1.2.3/", "other, 10.1.2.3")).toBeUndefined();
  expect(proxyFor(new URL("http://a/"), {})).toBeUndefined();
});
