/**
 * `--user` and `--group-add` → numbers, by the image's own /etc/passwd and /etc/group. Rules and words are Docker's (moby/sys/user): a number
 * is always an id and need not be in the files; the first matching line counts; further groups come from the group file only
 * where no group was named.
 */
import { EngineError } from "@fathom/base";

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, as Docker has it; each once. */
  readonly additionalGids: readonly number[];
  /** Home directory of the id, "/" where it has none. */
  readonly home: string;
}

export interface UserFiles {
  /** Text of /etc/passwd; undefined where there is none. */
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

/** An id above 2^31-1 would be read as another one by some program (CVE-2024-40635). */
const largestId = 0x7fff_ffff;

/** @throws invalid-argument "unable to find user nosuchuser: no matching entries in passwd file" and the like */
export function lookupUser(spec: string, files: UserFiles, groupAdd: readonly string[] = []): ContainerUser {
  const [userPart = "", groupPart = ""] = spec.split(":");
  const uidGiven = parseId(userPart);
  const gidGiven = parseId(groupPart);
  const users = parsePasswd(files.passwd ?? "");
  const wantedUid = userPart === "" ? 0 : uidGiven;
  const entry =
    wantedUid === undefined ? users.find(({ name }) => name === userPart) : users.find(({ uid }) => uid === wantedUid);
  if (entry === undefined && wantedUid === undefined)
    throw notFound("user", userPart, "no matching entries in passwd file");
  const uid = entry?.uid ?? wantedUid ?? 0;

  const groups = parseGroup(files.group ?? "");
  let gid = entry?.gid ?? 0;
  let further: number[] = [];
  if (groupPart !== "") {
    const group = groups.find((one) => (gidGiven === undefined ? one.name === groupPart : one.gid === gidGiven));
    if (group === undefined && gidGiven === undefined)
      throw notFound("group", groupPart, "no matching entries in group file");
    gid = group?.gid ?? gidGiven ?? 0;
  } else if (entry !== undefined) {
    further = groups.filter(({ members }) => members.includes(entry.name)).map((group) => group.gid);
  }
  const added = groupAdd.map((name) => groupId(name, groups));
  const home = users.find((user) => user.uid === uid)?.home ?? "";
  return {
    uid: inRange(uid),
    gid: inRange(gid),
    additionalGids: [...new Set([gid, ...further, ...added])].map(inRange),
    home: home === "" ? "/" : home,
  };
}

function groupId(name: string, groups: readonly GroupEntry[]): number {
  const given = parseId(name);
  const group = groups.find((one) => (given === undefined ? one.name === name : one.gid === given));
  if (group !== undefined) return group.gid;
  if (given === undefined) throw notFound("group", name, "no matching entries in group file");
  return given;
}

function notFound(what: string, name: string, why: string): EngineError {
  return new EngineError("invalid-argument", `unable to find ${what} ${name}: ${why}`);
}

/** undefined when `text` is a name. @throws invalid-argument for a number that is no id */
function parseId(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  return inRange(Number(text));
}

function inRange(id: number): number {
  if (id >= 0 && id <= largestId) return id;
  throw new EngineError("invalid-argument", `uids and gids must be in range 0-${largestId}`);
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** name:password:uid:gid:comment:home:shell. Lines without ids are none. */
function parsePasswd(text: string): PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = "", , home = ""] = line.trim().split(":");
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [];
  });
}

/** name:password:gid:member,member */
function parseGroup(text: string): GroupEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.trim().split(":");
    return /^\d+$/.test(gid) ? [{ name, gid: Number(gid), members: members.split(",").filter(Boolean) }] : [];
  });
}
