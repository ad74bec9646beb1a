/** Capabilities of files, ACLs, the user's own. Never overlayfs's marks, and not the labels of another machine. */
export function isLayerXattr(name: string): boolean {
  if (name === "security.capability" || name.startsWith("system.posix_acl_")) return true;
  return name.startsWith("user.") && !name.startsWith("user.overlay.");
}
