/** The entry that a header block describes, together with the extended headers before it. */
import { byteString, type ByteString, type TarEntry, type TarKind } from "./entry.ts";
import { brokenTar, fields, numberField, textField, timeField } from "./header.ts";
import { limitError, type TarLimits } from "./limits.ts";
import type { PaxValues } from "./pax.ts";

const kinds: Readonly<Record<string, TarKind>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};
/** chown(2) reads the last 32-bit id as "do not change". */
const maxId = 0xffff_fffe;
const noXattrs: readonly never[] = Object.freeze([]);
const nothing = "" as ByteString;

/**
 * `stored` is how many bytes of data follow. The reader finds the map of a sparse file; here it is a file of that size. undefined for a volume
 * label, which is no file.
 * @throws invalid-argument, resource-exhausted over a limit
 */
export function readEntry(
  block: Buffer,
  type: string,
  pax: PaxValues,
  limits: TarLimits,
): { readonly entry: TarEntry; readonly stored: number } | undefined {
  const path = pax.sparse?.name ?? pax.path ?? headerPath(block);
  if (path === "") throw brokenTar("an entry has no name");
  if (path.length > limits.maxPathBytes)
    throw limitError("maxPathBytes", limits.maxPathBytes, `a path of ${path.length} bytes`);
  let kind = kinds[type];
  if (type === "V") return undefined;
  if (kind === undefined) throw brokenTar(`${show(path)}: entries of type ${JSON.stringify(type)} are not supported`);
  if (kind === "file" && (type === "\0" || type === "0") && path.endsWith("/")) kind = "directory";
  const isLink = kind === "symlink" || kind === "hardlink";
  const linkPath = isLink ? (pax.linkPath ?? textField(block, fields.linkName[0], fields.linkName[1])) : nothing;
  if (isLink && linkPath === "") throw brokenTar(`${show(path)}: a link without a target`);
  if (linkPath.length > limits.maxPathBytes)
    throw limitError("maxPathBytes", limits.maxPathBytes, `a link target of ${linkPath.length} bytes`);

  // Only files, and GNU's directories with a list, have data; for others the size field is ignored.
  const hasData = kind === "file" || type === "D";
  const stored = hasData ? (pax.size ?? numberField(block, fields.size[0], fields.size[1])) : 0;
  if (stored < 0) throw brokenTar(`${show(path)}: a negative size`);
  const isDevice = kind === "character-device" || kind === "block-device";
  const uid = pax.uid ?? numberField(block, fields.uid[0], fields.uid[1]);
  const gid = pax.gid ?? numberField(block, fields.gid[0], fields.gid[1]);
  if (uid < 0 || uid > maxId || gid < 0 || gid > maxId)
    throw brokenTar(`${show(path)}: owner ${uid}:${gid} is out of range`);
  const entry: TarEntry = {
    kind,
    path,
    linkPath,
    mode: numberField(block, fields.mode[0], fields.mode[1]) & 0o7777,
    uid,
    gid,
    userName: pax.userName ?? textField(block, fields.userName[0], fields.userName[1]),
    groupName: pax.groupName ?? textField(block, fields.groupName[0], fields.groupName[1]),
    size: kind === "file" ? stored : 0,
    sparse: false,
    mtimeNs: pax.mtimeNs ?? timeField(block, fields.mtime[0], fields.mtime[1]) * 1_000_000_000n,
    deviceMajor: isDevice ? numberField(block, fields.deviceMajor[0], fields.deviceMajor[1]) : 0,
    deviceMinor: isDevice ? numberField(block, fields.deviceMinor[0], fields.deviceMinor[1]) : 0,
    xattrs: pax.xattrs ?? noXattrs,
  };
  return { entry, stored };
}

function headerPath(block: Buffer): ByteString {
  const name = textField(block, fields.name[0], fields.name[1]);
  // "ustar\0" is POSIX. GNU writes "ustar " and has other fields in the place of the prefix.
  if (block[257] !== 0x75 || block[262] !== 0 || block[fields.prefix[0]] === 0) return name;
  if (block.toString("latin1", 257, 262) !== "ustar") return name;
  const isStar = block.toString("latin1", 508, 512) === "tar\0";
  const prefix = textField(block, fields.prefix[0], isStar ? 131 : fields.prefix[1]);
  return byteString(Buffer.from(`${prefix}/${name}`, "latin1"));
}

/** A name for a message. */
export function show(path: string): string {
  const text = Buffer.from(path, "latin1").toString("utf8");
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
