import { expect, test } from "bun:test";
import { decodePlatform } from "./platform.ts";

test("a platform in a query", () => {
  expect(decodePlatform('{"OS":"linux","Architecture":"arm","variant":"v7","os.features":["x"],"more":1}')).toEqual({
    os: "linux",
    architecture: "arm",
    variant: "v7",
  });
  expect(decodePlatform('{"os":"windows","architecture":"amd64","variant":"","os.version":"10.0"}')).toEqual({
    os: "windows",
    architecture: "amd64",
    "os.version": "10.0",
  });
  const wrong: readonly (readonly [string, string])[] = [
    ["linux/amd64", 'failed to parse platform: "linux/amd64" is no JSON'],
    ["null", "both OS and Architecture must be provided"],
    ['{"os":"linux"}', "both OS and Architecture must be provided"],
    [
      '{"os":"linux","architecture":1}',
      "invalid JSON: json: cannot unmarshal number into Go struct field Platform.architecture of type string",
    ],
    ["[]", "invalid JSON: json: cannot unmarshal array into Go value of type v1.Platform"],
  ];
  for (const [text, message] of wrong) expect(() => decodePlatform(text)).toThrow(message);
});
