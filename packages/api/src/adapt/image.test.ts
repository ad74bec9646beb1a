import { expect, test } from "bun:test";
import type { ImageInspect } from "@fathom/spec";
import { adaptImageInspect } from "./image.ts";

const image: ImageInspect = {
  Id: `sha256:${"a".repeat(64)}`,
  RepoTags: [],
  RepoDigests: [],
  Config: { Volumes: { "/data": {} } },
  Architecture: "amd64",
  Os: "linux",
  Size: 1,
  RootFS: {},
  Metadata: {},
};

test("below 1.45, an image has the configuration of a container, with its volumes", () => {
  expect(adaptImageInspect(image, 44)).toMatchObject({
    Container: "",
    ContainerConfig: { Volumes: { "/data": {} }, Hostname: "", Labels: null },
  });
  expect(adaptImageInspect(image, 45)).not.toHaveProperty("ContainerConfig");
});
