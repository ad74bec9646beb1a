import { messageOf } from "@fathom/base";
import { expect, test } from "bun:test";
import { splitVersion } from "./versions.ts";

test.each([
  ["/containers/json", 52, "/containers/json"],
  ["/v1.40/containers/json", 40, "/containers/json"],
  ["/v1.52/_ping", 52, "/_ping"],
  ["/version", 52, "/version"],
  ["/volumes", 52, "/volumes"],
  ["/v1.47", 52, "/v1.47"],
  ["/v1.47/", 47, "/"],
  ["/vnew/containers/json", 52, "/vnew/containers/json"],
  ["/1.47/containers/json", 52, "/1.47/containers/json"],
])("%s", (path, version, rest) => expect(splitVersion(path)).toEqual({ version, rest }));

test.each([
  ["/v1.99/_ping", "client version 1.99 is too new. Maximum supported API version is 1.52"],
  ["/v2.0/info", "client version 2.0 is too new. Maximum supported API version is 1.52"],
  [
    "/v1.30/info",
    "client version 1.30 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version",
  ],
  [
    "/v0.99/info",
    "client version 0.99 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version",
  ],
])("%s is rejected", (path, message) => {
  try {
    splitVersion(path);
    throw new Error("accepted");
  } catch (error) {
    expect(messageOf(error)).toBe(message);
  }
});
