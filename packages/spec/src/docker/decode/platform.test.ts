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
    ["linux/amd64", "failed to parse platform: invalid character 'l' looking for beginning of value"],
    ["", "failed to parse platform: unexpected end of JSON input"],
    ['{"os":', "failed to parse platform: unexpected end of JSON input"],
    ["{} x", "failed to parse platform: invalid character 'x' after top-level value"],
    ['{"variant":"v7"}', "optional platform fields provided, but OS and Architecture are missing"],
    ["null", "both OS and Architecture must be provided"],
    ['{"os":"linux"}', "both OS and Architecture must be provided"],
    [
      '{"os":"linux","architecture":1}',
      "failed to parse platform: json: cannot unmarshal number into Go struct field Platform.architecture of type string",
    ],
    ["[]", "failed to parse platform: json: cannot unmarshal array into Go value of type v1.Platform"],
  ];
  for (const [text, message] of wrong) expect(() => decodePlatform(text)).toThrow(message);
});
