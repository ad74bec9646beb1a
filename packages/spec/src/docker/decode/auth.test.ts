import { expect, test } from "bun:test";
import { decodeAuthConfig } from "./auth.ts";

test("a login's body is checked", () => {
  expect(decodeAuthConfig({ Username: "u", identitytoken: "t", password: "", email: "e" })).toEqual({
    username: "u",
    identitytoken: "t",
  });
  expect(decodeAuthConfig(null)).toEqual({});
  expect(() => decodeAuthConfig({ username: 5 })).toThrow(
    "invalid JSON: json: cannot unmarshal number into Go struct field AuthConfig.username of type string",
  );
  expect(() => decodeAuthConfig([])).toThrow(
    "invalid JSON: json: cannot unmarshal array into Go value of type registry.AuthConfig",
  );
});
