/** The ports that the kernel itself gives to programs that ask for any free port. */

export interface EphemeralRange {
  readonly first: number;
  readonly last: number;
  /** Ports that the kernel itself leaves out (ip_local_reserved_ports). */
  readonly excluded: ReadonlySet<number>;
}

/** The kernel's ephemeral range from the texts of ip_local_port_range and ip_local_reserved_ports. */
export function parseEphemeralRange(range: string, reserved: string): EphemeralRange {
  const match = /^\s*(\d+)\s+(\d+)\s*$/.exec(range);
  const first = match ? Number(match[1]) : 49153;
  const last = match ? Number(match[2]) : 65535;
  const excluded = new Set<number>();
  for (const entry of reserved.trim().split(",")) {
    const bounds = /^(\d+)(?:-(\d+))?$/.exec(entry);
    if (!bounds) continue;
    const end = Math.min(Number(bounds[2] ?? bounds[1]), last);
    for (let port = Math.max(Number(bounds[1]), first); port <= end; port++) excluded.add(port);
  }
  return { first, last, excluded };
}
