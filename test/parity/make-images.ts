/**
 * Stand-ins for the three images with which the scenarios were recorded, made of Debian's busybox-static, as OCI archives. Scenarios whose
 * output depends on the images themselves (versions of their programs, files of Alpine) need the real images: those scenarios are in
 * real-images.txt.
 * Usage: make-images.ts DIRECTORY
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeBusyboxImage, type ImageVariant } from "../make-busybox-image.ts";

const images: Readonly<Record<string, ImageVariant>> = {
  "busybox-1.37-glibc": {},
  "alpine-3.20": { cmd: ["/bin/sh"], files: { "etc/alpine-release": "3.20.3\n" } },
  "hello-world": { cmd: ["/hello"], files: { hello: "#!/bin/sh\necho hello\n" } },
};

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: make-images.ts DIRECTORY");
for (const [name, variant] of Object.entries(images)) {
  const layout = join(directory, name);
  mkdirSync(layout, { recursive: true });
  makeBusyboxImage(layout, "latest", variant);
  const packed = Bun.spawnSync(["tar", "-C", layout, "-cf", join(directory, `${name}.oci.tar`), "."]);
  if (!packed.success) throw new Error(`tar: ${packed.stderr}`);
  rmSync(layout, { recursive: true });
}
