/** What an archive says about one file, and the form of names. */

declare const brand: unique symbol;

/**
 * Bytes as a string, one character (U+0000–U+00FF) per byte. Names in archives are bytes, often but not always UTF-8. In this form they can be
 * compared and split as fast as strings, and nothing is lost. `namePath` returns a path for system calls, `nameText` readable text.
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
  /** As in the archive: it may begin with "./" or "/", contain "..", or end with "/". */
  readonly path: ByteString;
  /** Target of a symlink or hard link, otherwise empty. */
  readonly linkPath: ByteString;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: ByteString;
  readonly groupName: ByteString;
  /** Size of the unpacked file (with holes); 0 for everything except files. */
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

/** For system calls: the string itself when it is ASCII (the common case costs nothing), otherwise its bytes. */
export function namePath(name: string): string | Uint8Array {
  return beyondAscii.test(name) ? Buffer.from(name, "latin1") : name;
}

/** UTF-8 text for messages and JSON; bytes that are not UTF-8 become U+FFFD. */
export function nameText(name: string): string {
  return beyondAscii.test(name) ? Buffer.from(name, "latin1").toString("utf8") : name;
}

/** The archive's form of a UTF-8 name. */
export function byteString(name: string | Uint8Array): ByteString {
  if (typeof name === "string") {
    return (beyondAscii.test(name) ? Buffer.from(name, "utf8").toString("latin1") : name) as ByteString;
  }
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1") as ByteString;
}
