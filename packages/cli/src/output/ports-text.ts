/** Published ports as one line: "0.0.0.0:8080->80/tcp, 443/tcp", with neighbouring ports folded into ranges. */
import type { PortSummary } from "@fathom/spec";

interface Range {
  readonly ip: string;
  readonly protocol: string;
  first: number;
  last: number;
  publicFirst: number;
}

/** Sorted by bytes: "0.0.0.0" comes before "::". */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const address = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);

function rangeText({ ip, protocol, first, last, publicFirst }: Range): string {
  const span = (from: number, count: number): string => (count === 0 ? String(from) : `${from}-${from + count}`);
  const count = last - first;
  const inner = `${span(first, count)}/${protocol}`;
  return publicFirst === 0 ? inner : `${address(ip)}:${span(publicFirst, count)}->${inner}`;
}

export function portsText(ports: readonly PortSummary[]): string {
  const sorted = ports.toSorted(
    (a, b) =>
      (a.PublicPort === undefined ? 1 : 0) - (b.PublicPort === undefined ? 1 : 0) ||
      a.PrivatePort - b.PrivatePort ||
      compare(a.IP ?? "", b.IP ?? "") ||
      compare(a.Type, b.Type),
  );
  const ranges: Range[] = [];
  for (const { IP: ip = "", PrivatePort, PublicPort = 0, Type: protocol } of sorted) {
    const joined = ranges.find(
      (range) =>
        range.ip === ip &&
        range.protocol === protocol &&
        range.last + 1 === PrivatePort &&
        (range.publicFirst === 0 ? PublicPort === 0 : range.publicFirst + (PrivatePort - range.first) === PublicPort),
    );
    if (joined !== undefined) joined.last = PrivatePort;
    else ranges.push({ ip, protocol, first: PrivatePort, last: PrivatePort, publicFirst: PublicPort });
  }
  return ranges.map(rangeText).join(", ");
}
