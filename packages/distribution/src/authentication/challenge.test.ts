import { expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

test("a bearer challenge", () => {
  expect(
    parseChallenges('Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'),
  ).toEqual([
    {
      scheme: "bearer",
      parameters: { realm: "https://auth.example/token", service: "reg", scope: "repository:a/b:pull,push" },
    },
  ]);
});

test("several challenges, escapes, values without quotes, no parameters", () => {
  expect(parseChallenges('Negotiate, Basic realm="a \\"b\\"", charset=UTF-8, Bearer REALM="x" , error=y')).toEqual([
    { scheme: "negotiate", parameters: {} },
    { scheme: "basic", parameters: { realm: 'a "b"', charset: "UTF-8" } },
    { scheme: "bearer", parameters: { realm: "x", error: "y" } },
  ]);
});

test("of a malformed header, the readable part is returned", () => {
  expect(parseChallenges(null)).toEqual([]);
  expect(parseChallenges("= = =")).toEqual([]);
  expect(parseChallenges('Bearer realm="never ends')).toEqual([{ scheme: "bearer", parameters: {} }]);
});
