/** Recognises errors of system calls by the kernel's names. The runtime has the name in `code`; `@fathom/sys` and netlink have it in `errnoName`. */

/** For example "ENOENT"; undefined if the error has no such name. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const name = "errnoName" in error ? error.errnoName : "code" in error ? error.code : undefined;
  return typeof name === "string" && /^E[A-Z0-9]+$/.test(name) ? name : undefined;
}

export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  const name = errnoOf(error);
  return name !== undefined && names.includes(name);
}
