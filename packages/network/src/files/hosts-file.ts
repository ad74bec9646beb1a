/** A container's /etc/hosts, as Docker 29 writes it. */
import type { HostsFileRequest } from "../contract.ts";

const ipv4Lines = ["127.0.0.1\tlocalhost"];
const ipv6Lines = [
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/**
 * Loopback names, then the extra hosts, then the container's own name with each of its addresses.
 * With host networking and no extra hosts, Docker copies the host's file instead; the caller decides that.
 */
export function buildHostsFile(request: HostsFileRequest): string {
  const ipv6 = request.ipv6 ?? true;
  const lines = ipv6 ? [...ipv4Lines, ...ipv6Lines] : [...ipv4Lines];
  for (const extra of request.extraHosts) {
    // "name:address": an address may contain colons, a name never does.
    const colon = extra.indexOf(":");
    const name = extra.slice(0, colon);
    const address = extra.slice(colon + 1).replace(/^\[(.*)\]$/, "$1");
    if (colon > 0 && (ipv6 || !address.includes(":"))) lines.push(`${address}\t${name}`);
  }
  lines.push(...ownLines(request).filter((line) => ipv6 || !line.split("\t", 1)[0]!.includes(":")));
  return lines.map((line) => `${line}\n`).join("");
}

/** The lines of the container's own name. */
function ownLines({ hostname, domainname, addresses }: OwnName): string[] {
  const names = hostNames(hostname, domainname);
  return addresses.map((address) => `${address}\t${names}`);
}

type OwnName = Pick<HostsFileRequest, "hostname" | "domainname" | "addresses">;

/** The file after the container's addresses have changed; all other lines stay, also those that a user wrote. */
export function changeHostsFile(file: string, before: OwnName, after: OwnName): string {
  const [old, wanted] = [ownLines(before), ownLines(after)];
  const gone = new Set(old.filter((line) => !wanted.includes(line)));
  const lines = file.split("\n");
  const end = lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  const kept = end.filter((line) => !gone.delete(line));
  return [...kept, ...wanted.filter((line) => !old.includes(line))].map((line) => `${line}\n`).join("");
}

/** The full name, and after it the short host name when they differ. */
function hostNames(hostname: string, domainname: string): string {
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const dot = full.indexOf(".");
  return dot < 0 ? full : `${full} ${full.slice(0, dot)}`;
}

/** Content of /etc/hostname. */
export function buildHostnameFile(hostname: string): string {
  return `${hostname}\n`;
}

/** The file after a linked container has other addresses: the lines whose first name is `name` get the address of their family. */
export function moveInHosts(file: string, name: string, addresses: readonly string[]): string {
  return changeLines(file, (line) => {
    const [old, names] = entryOf(line);
    if (names.split(" ", 1)[0] !== name) return line;
    const address = addresses.find((each) => each.includes(":") === old.includes(":"));
    return address === undefined ? line : `${address}\t${names}`;
  });
}

/** The file without the lines that have exactly these names. */
export function removeFromHosts(file: string, names: string): string {
  return changeLines(file, (line) => (entryOf(line)[1] === names ? undefined : line));
}

/** A line as this engine writes it: "ADDRESS<tab>NAMES". The names of any other line are "". */
function entryOf(line: string): readonly [address: string, names: string] {
  const tab = line.indexOf("\t");
  return tab < 0 ? [line, ""] : [line.slice(0, tab), line.slice(tab + 1)];
}

function changeLines(file: string, change: (line: string) => string | undefined): string {
  return file
    .split("\n")
    .flatMap((line) => change(line) ?? [])
    .join("\n");
}
