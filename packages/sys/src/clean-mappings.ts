/** Reads /proc/self/smaps: which mappings are only copies of a file, so that letting their pages go loses nothing. */

export interface CleanMapping {
  readonly start: bigint;
  /** Bytes. */
  readonly length: bigint;
  readonly residentBytes: number;
  readonly path: string;
}

const header = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+) *(.*)$/;

/**
 * Private mappings of files without write permission and without a single page of their own: a page that was written once (relocations, a
 * breakpoint) counts as Anonymous, and would come back as the file has it.
 */
export function cleanFileMappings(smaps: string): CleanMapping[] {
  const found: CleanMapping[] = [];
  let current: { start: bigint; end: bigint; path: string } | undefined;
  let resident = 0;
  for (const line of smaps.split("\n")) {
    const match = header.exec(line);
    if (match !== null) {
      const [, start = "", end = "", permissions = "", inode = "0", path = ""] = match;
      const wanted = inode !== "0" && permissions.startsWith("r-") && permissions.endsWith("p");
      current = wanted ? { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), path } : undefined;
      resident = 0;
    } else if (current !== undefined && line.startsWith("Rss:")) resident = kibibytes(line) * 1024;
    // Anonymous comes after Rss; what has no such line is not let go.
    else if (current !== undefined && line.startsWith("Anonymous:")) {
      if (kibibytes(line) === 0 && resident > 0) {
        const { start, end, path } = current;
        found.push({ start, length: end - start, residentBytes: resident, path });
      }
      current = undefined;
    }
  }
  return found;
}

function kibibytes(line: string): number {
  return Number(/(\d+) kB/.exec(line)?.[1] ?? Number.NaN);
}
