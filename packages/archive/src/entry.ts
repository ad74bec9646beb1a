/** What an archive says about one file, and how names are held. */

declare const brand: unique symbol;

/**
 * Bytes as a string, one character (U+0000–U+00FF) a byte. Names in archives are bytes, often but not always UTF-8; in this form they are
 * compared and split at the speed of strings and lose nothing. `nameBytes` gives the bytes, `nameText` readable text.
 */
export type ByteString = string & { readonly [brand]: "ByteString" };

export type TarKind =
  | "file"
  | "directory"
  | "symlink"
  | "hardlink"
  | "character-device"
  | "block-device"
  | "fifo"
  | "socket";

export interface TarXattr {
  /** Full name: "security.capability". */
  readonly name: string;
  readonly value: Uint8Array;
}

export interface TarEntry {
  readonly kind: TarKind;
  /** As the archive has it: may begin with "./" or "/", may hold "..", may end with "/". */
  readonly path: ByteString;
  /** Target of a symlink or hard link, else empty. */
  readonly linkPath: ByteString;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: ByteString;
  readonly groupName: ByteString;
  /** Bytes of the file as it is when unpacked (holes included); 0 for all but files. */
  readonly size: number;
  /** Data comes in pieces with holes between them. */
  readonly sparse: boolean;
  /** Nanoseconds since the epoch; may be negative. */
  readonly mtimeNs: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: readonly TarXattr[];
}

const beyondAscii = /[\u0080-\uffff]/;

/** For system calls: the string itself where it is ASCII (the common case costs nothing), else its bytes. */
export function namePath(name: string): string | Uint8Array {
  return beyondAscii.test(name) ? Buffer.from(name, "latin1") : name;
}

export function nameBytes(name: ByteString): Uint8Array {
  return Buffer.from(name, "latin1");
}

/** UTF-8 text for messages and JSON; bytes that are no UTF-8 become U+FFFD. */
export function nameText(name: string): string {
  return beyondAscii.test(name) ? Buffer.from(name, "latin1").toString("utf8") : name;
}

/** The name that UTF-8 text has in an archive. */
export function byteString(name: string | Uint8Array): ByteString {
  if (typeof name === "string") {
    return (beyondAscii.test(name) ? Buffer.from(name, "utf8").toString("latin1") : name) as ByteString;
  }
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1") as ByteString;
}
