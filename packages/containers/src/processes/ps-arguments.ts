/** Arguments of ps(1), as the list of columns that they mean. */
import { ContainerProblem } from "../problem.ts";
import { columns } from "./ps-columns.ts";

const formatFull = ["uid_name", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const formatBsd = ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "bsdstart", "bsdtime", "command"];
const formatShort = ["pid", "tty", "time", "cmdshort"];
const formatBsdShort = ["pid", "tty", "stat", "bsdtime", "command"];

/**
 * The names of the columns.
 * @param text As the client gave them; "" means "-ef".
 * @throws ContainerProblem for arguments that are not supported, or when the PID column is missing
 */
export function parseArguments(text: string): readonly string[] {
  const names = columnNames(text.trim() === "" ? "-ef" : text.trim());
  if (!names.some((name) => columns[name]?.title === "PID")) throw new ContainerProblem({ kind: "no-pid-column" });
  return names;
}

function columnNames(text: string): readonly string[] {
  const words = text.split(/\s+/);
  const formats: string[] = [];
  let full = false;
  let bsd = false;
  let bsdUser = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const long = /^--format(?:=(.*))?$/.exec(word);
    if (long) {
      formats.push(long[1] ?? words[++i] ?? "");
      continue;
    }
    if (word.startsWith("--") || word === "-") throw unsupported(word);
    const dashed = word.startsWith("-");
    const letters = dashed ? word.slice(1) : word;
    for (let k = 0; k < letters.length; k++) {
      const letter = letters[k]!;
      if (letter === "o") {
        const rest = letters.slice(k + 1);
        formats.push(rest === "" ? (words[++i] ?? "") : rest);
        break;
      }
      if ("eAawxN".includes(letter)) bsd ||= !dashed;
      else if (letter === "f" && dashed) full = true;
      else if (letter === "u") bsdUser = true;
      else if (letter === "f") continue;
      else throw unsupported(word);
    }
  }
  if (formats.length > 0) return formats.flatMap((format) => format.split(",")).map(parseColumn);
  if (bsdUser) return formatBsd;
  if (full) return formatFull;
  return bsd ? formatBsdShort : formatShort;
}

function parseColumn(name: string): string {
  const key = name.toLowerCase();
  // A title that the user chose (pid=X) could make another column look like the PID.
  if (name === "" || !Object.hasOwn(columns, key)) throw new ContainerProblem({ kind: "unknown-ps-column", name });
  return key;
}

function unsupported(option: string): ContainerProblem {
  return new ContainerProblem({ kind: "unsupported-ps-option", option });
}
