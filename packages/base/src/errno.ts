/** Errors of system calls, told by the kernel's names: those of the runtime (`code`) and those of `@fathom/sys` and netlink (`errnoName`). */

/** "ENOENT"; undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const name = "errnoName" in error ? error.errnoName : "code" in error ? error.code : undefined;
  return typeof name === "string" && /^E[A-Z0-9]+$/.test(name) ? name : undefined;
}

export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  const name = errnoOf(error);
  return name !== undefined && names.includes(name);
}
