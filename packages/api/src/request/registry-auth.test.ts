import { expect, test } from "bun:test";
import { decodeRegistryAuth } from "./registry-auth.ts";

const document = { username: "u", password: "p?>\u00ff", serveraddress: "r:5000", email: "" };

test("both alphabets, with and without padding", () => {
  const text = JSON.stringify(document);
  for (const header of [
    Buffer.from(text).toString("base64"),
    Buffer.from(text).toString("base64url"),
    Buffer.from(text).toString("base64").replaceAll("+", "-").replaceAll("/", "_"),
  ])
    expect(decodeRegistryAuth(header)).toEqual({ username: "u", password: "p?>\u00ff", serveraddress: "r:5000" });
});

test.each([undefined, "", "%%%", Buffer.from("no json").toString("base64"), Buffer.from("[]").toString("base64")])(
  "%s is not a credential",
  (header) => expect(decodeRegistryAuth(header)).toBeUndefined(),
);
