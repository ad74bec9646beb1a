import { expect, test } from "bun:test";
import type { LayerProgress, LoadEvent, PullEvent, PullPhase, PushEvent } from "@fathom/images";
import { parsePlatform, parseReference, sha256Digest, withDefaultTag } from "@fathom/spec";
import { loadLines, progressBar, pullLines, pushLines } from "./progress-lines.ts";

const layer = sha256Digest("layer");
const id = layer.slice("sha256:".length, "sha256:".length + 12);
const image = sha256Digest("image");
const app = parseReference("registry.example/team/app:1");

function pulled(phase: PullPhase, current = 0, total = 2_000_000): LayerProgress<PullPhase> {
  return { kind: "layer", layer, phase, current, total };
}

test.each<readonly [PullEvent, ...string[]]>([
  [
    { kind: "pulling", reference: withDefaultTag(parseReference("alpine")) },
    '{"status":"Pulling from library/alpine","id":"latest"}',
  ],
  [
    { kind: "pulling", reference: parseReference(`registry.example/team/app@${image}`) },
    `{"status":"Pulling from team/app","id":"registry.example/team/app@${image}"}`,
  ],
  [pulled("present"), `{"status":"Already exists","progressDetail":{},"id":"${id}"}`],
  [pulled("queued"), `{"status":"Pulling fs layer","progressDetail":{},"id":"${id}"}`],
  [pulled("waiting"), `{"status":"Waiting","progressDetail":{},"id":"${id}"}`],
  [
    pulled("downloading", 500_000),
    `{"status":"Downloading","progressDetail":{"current":500000,"total":2000000},"progress":"[============>                                     ]  500kB/2MB","id":"${id}"}`,
  ],
  [
    pulled("downloaded", 2_000_000),
    `{"status":"Verifying Checksum","progressDetail":{},"id":"${id}"}`,
    `{"status":"Download complete","progressDetail":{},"id":"${id}"}`,
    `{"status":"Extracting","progressDetail":{"current":2000000,"total":2000000},"progress":"[==================================================>]  2MB/2MB","id":"${id}"}`,
  ],
  [
    pulled("downloaded", 0, 0),
    `{"status":"Verifying Checksum","progressDetail":{},"id":"${id}"}`,
    `{"status":"Download complete","progressDetail":{},"id":"${id}"}`,
  ],
  [pulled("unpacked", 2_000_000), `{"status":"Pull complete","progressDetail":{},"id":"${id}"}`],
  [{ kind: "resolved", digest: image }, `{"status":"Digest: ${image}"}`],
  [
    { kind: "done", reference: app, changed: true, mismatches: [] },
    '{"status":"Status: Downloaded newer image for registry.example/team/app:1"}',
  ],
  [
    {
      kind: "done",
      reference: app,
      changed: false,
      mismatches: [{ reference: app, own: parsePlatform("linux/s390x"), wanted: parsePlatform("linux/arm64") }],
    },
    '{"status":"Status: Image is up to date for registry.example/team/app:1"}',
    '{"status":"WARNING: image with reference registry.example/team/app:1 was found but its platform (linux/s390x) does not match the specified platform (linux/arm64)"}',
  ],
])("pull %#", (event, ...lines) => expect(pullLines(event).map((line) => JSON.stringify(line))).toEqual(lines));

test.each<readonly [PushEvent, ...string[]]>([
  [
    { kind: "pushing", reference: parseReference("alpine") },
    '{"status":"The push refers to repository [docker.io/library/alpine]"}',
  ],
  [
    { kind: "layer", layer, phase: "queued", current: 0, total: 7 },
    `{"status":"Preparing","progressDetail":{},"id":"${id}"}`,
  ],
  [
    { kind: "layer", layer, phase: "present", current: 7, total: 7 },
    `{"status":"Layer already exists","progressDetail":{},"id":"${id}"}`,
  ],
  [
    { kind: "layer", layer, phase: "pushing", current: 5, total: 10 },
    `{"status":"Pushing","progressDetail":{"current":5,"total":10},"progress":"${progressBar(5, 10)}","id":"${id}"}`,
  ],
  [{ kind: "mounted", layer, from: "team/app" }, `{"status":"Mounted from team/app","progressDetail":{},"id":"${id}"}`],
  [
    { kind: "layer", layer, phase: "pushed", current: 7, total: 7 },
    `{"status":"Pushed","progressDetail":{},"id":"${id}"}`,
  ],
  [
    { kind: "done", reference: app, digest: image, manifestBytes: 528 },
    `{"status":"1: digest: ${image} size: 528"}`,
    `{"progressDetail":{},"aux":{"Tag":"1","Digest":"${image}","Size":528}}`,
  ],
])("push %#", (event, ...lines) => expect(pushLines(event).map((line) => JSON.stringify(line))).toEqual(lines));

test.each<readonly [LoadEvent, ...string[]]>([
  [{ kind: "loaded", image, name: undefined, replaced: undefined }, `Loaded image ID: ${image}\n`],
  [{ kind: "loaded", image, name: app, replaced: undefined }, "Loaded image: registry.example/team/app:1\n"],
  [
    { kind: "loaded", image, name: app, replaced: layer },
    `The image registry.example/team/app:1 already exists, renaming the old one with ID ${layer} to empty string\n`,
    "Loaded image: registry.example/team/app:1\n",
  ],
])("load %#", (event, ...lines) => expect(loadLines(event)).toEqual(lines.map((stream) => ({ stream }))));

test("a bar has fifty places, and sizes four digits in powers of 1000", () => {
  expect(progressBar(0, 3_717_234)).toBe(`[>${" ".repeat(49)}]  0B/3.717MB`);
  expect(progressBar(999, 1000)).toBe(`[${"=".repeat(49)}>]  999B/1kB`);
  expect(progressBar(1000, 1000)).toBe(`[${"=".repeat(50)}>]  1kB/1kB`);
});
