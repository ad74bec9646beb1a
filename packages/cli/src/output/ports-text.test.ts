import { expect, test } from "bun:test";
import { portsText } from "./ports-text.ts";

test("ports as ps prints them", () => {
  expect(portsText([])).toBe("");
  expect(
    portsText([
      { PrivatePort: 443, Type: "tcp" },
      { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { IP: "::", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
    ]),
  ).toBe("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp");
  expect(
    portsText([80, 81, 82].map((port) => ({ IP: "0.0.0.0", PrivatePort: port, PublicPort: port + 8000, Type: "tcp" }))),
  ).toBe("0.0.0.0:8080-8082->80-82/tcp");
});
