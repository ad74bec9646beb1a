import { afterEach, beforeEach, expect, test } from "bun:test";
import { failureOf } from "@fathom/base/testing";
import { parseReference } from "@fathom/spec";
import { createRegistryClient } from "./client.ts";
import { forgetSchemes } from "./endpoints.ts";
import { defaultRegistryConfig } from "./testing/registry-config.ts";
import { ScriptedRegistry } from "./testing/scripted-registry.ts";

let registry: ScriptedRegistry;

beforeEach(async () => {
  forgetSchemes();
  registry = await ScriptedRegistry.start();
});
afterEach(() => registry[Symbol.asyncDispose]());

/** A registry whose list of tags has these pages; the last one has no next page, unless they never end. */
function tags(page: (index: number) => string | undefined): Promise<readonly string[]> {
  registry.script = ({ path }, response) => {
    if (!path.startsWith("/v2/app/tags/list")) return false;
    const index = Number(/page=(\d+)/.exec(path)?.[1] ?? 0);
    const isLast = page(index + 1) === undefined;
    response.writeHead(200, isLast ? {} : { link: `</v2/app/tags/list?page=${index + 1}>; rel="next"` });
    response.end(page(index));
    return true;
  };
  const client = createRegistryClient({ config: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [] } });
  return client.tags(parseReference(`${registry.host}/app`));
}

test("the pages of a list are one list, in the registry's order; null is an empty page", async () => {
  const pages = ['{"name":"app","tags":["b","a"]}', '{"name":"app","tags":null}', '{"tags":["c"]}'];
  expect(await tags((index) => pages[index])).toEqual(["b", "a", "c"]);
});

test("a list whose pages never end is rejected, not cut", async () => {
  const error = await failureOf(tags(() => '{"tags":["x"]}'));
  expect(error).toMatchObject({ code: "invalid-argument" });
  expect(error.message).toContain("has more than 1000 pages");
  expect(registry.requests.length).toBe(1000);
});

test("a list with too many tags is rejected before all of its pages are read", async () => {
  const page = JSON.stringify({ tags: Array.from({ length: 40_000 }, (_, index) => `t${index}`) });
  const error = await failureOf(tags(() => page));
  expect(error.message).toContain("has more than 100000 tags");
  expect(registry.requests.length).toBe(3);
});

test.each([
  ["no JSON", "<html>", "is not valid JSON"],
  ["a tag that is no text", '{"tags":["a",1]}', "tags"],
  ["no object", "[]", "the list of tags"],
])("a list with %s is rejected with a reason", async (_, body, reason) => {
  const error = await failureOf(tags((index) => (index === 0 ? body : undefined)));
  expect(error).toMatchObject({ code: "invalid-argument" });
  expect(error.message).toContain(reason);
});
