import { expect, test } from "bun:test";
import type { MountPoint } from "../record.ts";
import { checkPropagation } from "./mount-sources.ts";

const info = [
  "1 0 8:1 / / rw - ext4 /dev/vda rw",
  "2 1 0:5 / /usr rw shared:7 - tmpfs tmpfs rw",
  "3 1 0:6 / /proc rw master:7 - proc proc rw",
].join("\n");
const files = { realPath: async (path: string) => path };
const check = (source: string, propagation: string): Promise<void> =>
  checkPropagation(files, [{ type: "bind", source, propagation } as MountPoint], "/var/lib/fathom", info);

const refused = (source: string, mountPoint: string, ...needed: readonly string[]): object => ({
  code: "invalid-argument",
  problem: { kind: "does-not-propagate", source, mountPoint, needed },
});

test("a mount that should propagate needs a source that propagates", async () => {
  await expect(check("/etc", "rshared")).rejects.toMatchObject(refused("/etc", "/", "shared"));
  await expect(check("/proc", "shared")).rejects.toMatchObject(refused("/proc", "/proc", "shared"));
  await expect(check("/etc", "rslave")).rejects.toMatchObject(refused("/etc", "/", "shared", "slave"));
  for (const [source, propagation] of [
    ["/usr", "rshared"],
    ["/usr", "slave"],
    ["/proc", "rslave"],
    ["/etc", "rprivate"],
    ["/etc", ""],
    ["/", "rslave"],
    ["/var", "rslave"],
  ])
    await check(source!, propagation!);
});
