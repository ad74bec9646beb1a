import { expect, test } from "bun:test";
import { Router } from "./router.ts";

function router(): Router<string> {
  const router = new Router<string>();
  for (const [method, pattern] of [
    ["GET", "/containers/json"],
    ["GET", "/containers/*/json"],
    ["POST", "/containers/*/start"],
    ["GET", "/containers/*/attach/ws"],
    ["DELETE", "/containers/*"],
    ["GET", "/images/*/json"],
    ["GET", "/networks"],
    ["GET", "/networks/*"],
  ] as const)
    router.add(method, pattern, `${method} ${pattern}`);
  return router;
}

test.each([
  ["GET", "/containers/json", "GET /containers/json", ""],
  ["GET", "/containers/a/json", "GET /containers/*/json", "a"],
  ["POST", "/containers/a/start", "POST /containers/*/start", "a"],
  ["GET", "/containers/a/attach/ws", "GET /containers/*/attach/ws", "a"],
  ["DELETE", "/containers/a", "DELETE /containers/*", "a"],
  ["DELETE", "/containers/a/start", "DELETE /containers/*", "a/start"],
  ["GET", "/images/127.0.0.1:5000/library/alpine:3/json", "GET /images/*/json", "127.0.0.1:5000/library/alpine:3"],
  ["GET", "/networks", "GET /networks", ""],
  ["GET", "/networks/x", "GET /networks/*", "x"],
])("%s %s", (method, path, handler, name) => {
  expect(router().find(method, path)).toEqual({ handler, name });
});

test.each([
  ["GET", "/"],
  ["GET", ""],
  ["GET", "/nosuch"],
  ["GET", "/containers"],
  ["GET", "/containers/"],
  ["GET", "/containers/json/"],
  ["GET", "/containers//json"],
  ["GET", "/containers/a/start"],
  ["POST", "/containers/json"],
  ["PUT", "/containers/json"],
  ["GET", "/__proto__/x"],
])("nothing for %s %s", (method, path) => expect(router().find(method, path)).toBeUndefined());

test("one handler per route", () => {
  expect(() => router().add("GET", "/networks", "again")).toThrow("two handlers");
});
