/**
 * Which xattrs belong to a layer: one rule for every way in and out. The unpacker reads these from a tar, `write-diff.ts` writes these into a
 * tar, and a commit in place (`seal-layer.ts`) removes the others. So a committed layer is the same after a push and a pull.
 *
 * - Belong: capabilities of files, ACLs, and what users set (`user.*`).
 * - Do not belong: overlayfs's own marks (`trusted.overlay.*`, and `user.overlay.*`, which a rootless engine inside a container sets), because
 *   a tar uses whiteouts for that; labels of a security module (`security.selinux`, `security.ima` …) and `trusted.*`, because they belong to
 *   one machine.
 */
import type { TarXattr } from "@fathom/archive";
import type { Sys } from "@fathom/sys";

export function isLayerXattr(name: string): boolean {
  if (name === "security.capability" || name.startsWith("system.posix_acl_")) return true;
  return name.startsWith("user.") && !name.startsWith("user.overlay.");
}

/** Those of the file at `fd`, or of the file with this name in the directory `fd`. */
export function readLayerXattrs(sys: Sys, fd: number, name: Uint8Array | string): TarXattr[] {
  const xattrs: TarXattr[] = [];
  for (const key of sys.listxattrat(fd, name)) {
    const value = isLayerXattr(key) ? sys.getxattrat(fd, name, key) : undefined;
    if (value !== undefined) xattrs.push({ name: key, value });
  }
  return xattrs;
}

/**
 * Removes xattrs that a layer from a tar would not have. overlayfs's own marks stay, because they are the layer's whiteouts; so do xattrs that
 * the machine gives every file by itself.
 */
export function dropForeignXattrs(sys: Sys, fd: number, name: Uint8Array | string): void {
  for (const key of sys.listxattrat(fd, name)) {
    if (isLayerXattr(key) || /^(trusted\.overlay|security|system)\./.test(key)) continue;
    sys.removexattrat(fd, name, key);
  }
}
