/** Removes a mount from its place. */
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../constants.ts";
import type { Sys } from "../contract.ts";
import { isSysError } from "../errors.ts";

/** At once; the file system ends when nobody uses it any more. If nothing is mounted there, that is no error. */
export function detachMount(sys: Pick<Sys, "umount">, path: string): void {
  try {
    sys.umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (error) {
    if (!isSysError(error, "EINVAL", "ENOENT")) throw error;
  }
}
