/** The audit log: a line of JSON for each change and each refused login or right. */
import { openSync, writeSync, closeSync } from "node:fs";

export interface AuditEntry {
  readonly action: string;
  readonly user: string | undefined;
  readonly remote: string | undefined;
  readonly repository: string | undefined;
  readonly reference?: string | undefined;
  readonly digest?: string | undefined;
  readonly status: number;
}

export interface AuditLog extends Disposable {
  write(entry: AuditEntry): void;
}

/** Appends to the file; it never shortens it. */
export function openAuditLog(path: string, now: () => number = Date.now): AuditLog {
  const file = openSync(path, "a", 0o600);
  return {
    write: (entry) => {
      writeSync(file, `${JSON.stringify({ time: new Date(now()).toISOString(), ...entry })}\n`);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}
