/** Lists of CPUs and memory nodes: "0-3,5". Source: cpuset(7), list format. */

/** More CPUs than any kernel supports. */
const largest = 8192;

/** undefined when `text` is no such list. An empty text is an empty set. */
export function parseCpuList(text: string): ReadonlySet<number> | undefined {
  const numbers = new Set<number>();
  if (text === "") return numbers;
  for (const part of text.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) return undefined;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first || last > largest) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}
