/** Names that the kernel gives to an interface as they are. */
import { maxInterfaceNameLength } from "../netlink/link.ts";

/** The kernel replaces "%d" by a number of its own, and has settings with the other names in the place of an interface. */
export function isInterfaceName(name: string): boolean {
  return isPartOfName(name, maxInterfaceNameLength) && ![".", "..", "all", "default", "lo"].includes(name);
}

/** A number follows. */
export function isInterfacePrefix(prefix: string): boolean {
  return isPartOfName(prefix, maxInterfaceNameLength - longestNumber);
}

const longestNumber = 3;

function isPartOfName(text: string, longest: number): boolean {
  return text !== "" && Buffer.byteLength(text) <= longest && !/[\s/:%]/.test(text);
}
