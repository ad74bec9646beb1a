/** Checked columns of database rows: a value from SQLite is unknown until it is checked. */
import { EngineError } from "@fathom/base";

export type Row = Readonly<Record<string, unknown>>;

export function textColumn(row: Row, name: string): string {
  const value = row[name];
  if (typeof value !== "string") throw corrupt(name, value);
  return value;
}

export function optionalText(row: Row, name: string): string | undefined {
  return row[name] === null || row[name] === undefined ? undefined : textColumn(row, name);
}

export function numberColumn(row: Row, name: string): number {
  const value = row[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw corrupt(name, value);
  return value;
}

export function optionalNumber(row: Row, name: string): number | undefined {
  return row[name] === null || row[name] === undefined ? undefined : numberColumn(row, name);
}

function corrupt(name: string, value: unknown): EngineError {
  return new EngineError("data-loss", `database: column ${name} holds ${String(value)}`);
}
