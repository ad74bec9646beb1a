/** The rules that give rights for repositories. */
import { matchesPattern } from "../names/names.ts";
import { actions, type Action, type Principal } from "./access.ts";

export interface AccessRule {
  /** "*": everybody who logged in. */
  readonly user: string;
  readonly pattern: string;
  readonly actions: readonly Action[];
}

export interface AccessRules {
  readonly rules: readonly AccessRule[];
  /** Repositories that everybody may pull without a login. */
  readonly anonymousPull: readonly string[];
}

/** "USER=PATTERN:pull,push,delete". undefined when the text is no rule. */
export function readAccessRule(text: string): AccessRule | undefined {
  const match = /^([^=]+)=([^:]+):([a-z,]+)$/.exec(text);
  if (match === null) return undefined;
  const [, user, pattern, words] = match;
  const wanted = words!.split(",");
  const given = actions.filter((action) => wanted.includes(action));
  return given.length === wanted.length ? { user: user!, pattern: pattern!, actions: given } : undefined;
}

/** Without any rule, a user may do everything. */
export function principalOf(name: string | undefined, { rules, anonymousPull }: AccessRules): Principal {
  const own = rules.filter(({ user }) => name !== undefined && (user === name || user === "*"));
  const all = name !== undefined && rules.length === 0;
  return {
    ...(name === undefined ? {} : { name }),
    allows: (repository, action) =>
      all ||
      own.some((rule) => rule.actions.includes(action) && matchesPattern(rule.pattern, repository)) ||
      (action === "pull" && anonymousPull.some((pattern) => matchesPattern(pattern, repository))),
  };
}
