/**
 * `--user` and `--group-add` → numbers, with the image's own /etc/passwd and /etc/group. Rules and words are Docker's (moby/sys/user). A number
 * is always an id and need not be in the files. The first matching line counts. Additional groups come from the group file only when no group
 * was named.
 */
import { EngineError } from "@fathom/base";

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, as in Docker; each group once. */
  readonly additionalGids: readonly number[];
  /** Home directory of the id; "/" when it has none. */
  readonly home: string;
}

/** A file that is read line by line. */
export interface LineFile {
  /** Calls `visit` with one line after another, until it returns true or there are no more lines. */
  lines(visit: (line: string) => boolean): Promise<void>;
}

export interface UserFiles {
  /** /etc/passwd; undefined when it does not exist. */
  readonly passwd: LineFile | undefined;
  readonly group: LineFile | undefined;
}

/** Some programs would read an id above 2^31-1 as another id (CVE-2024-40635). */
const largestId = 0x7fff_ffff;

/** The kernel allows no more groups for one process (NGROUPS_MAX). */
const mostGroups = 65_536;

/** @throws invalid-argument "unable to find user nosuchuser: no matching entries in passwd file" and the like */
export async function lookupUser(
  spec: string,
  files: UserFiles,
  groupAdd: readonly string[] = [],
): Promise<ContainerUser> {
  const [userPart = "", groupPart = ""] = spec.split(":");
  const uidGiven = parseId(userPart);
  const gidGiven = parseId(groupPart);
  const wantedUid = userPart === "" ? 0 : uidGiven;
  const entry = await findUser(files.passwd, ({ name, uid }) =>
    wantedUid === undefined ? name === userPart : uid === wantedUid,
  );
  if (entry === undefined && wantedUid === undefined)
    throw notFound("user", userPart, "no matching entries in passwd file");
  const uid = entry?.uid ?? wantedUid ?? 0;

  const group = groupPart === "" ? undefined : new WantedGroup(groupPart, gidGiven);
  const added = groupAdd.map((name) => new WantedGroup(name, parseId(name)));
  const member = groupPart === "" ? entry?.name : undefined;
  const further = await visitGroups(files.group, group === undefined ? added : [group, ...added], member);
  const gid = group === undefined ? (entry?.gid ?? 0) : group.gid();
  // The home belongs to the id; the first line with that id may have another name.
  const owner = wantedUid === undefined ? await findUser(files.passwd, (user) => user.uid === uid) : entry;
  const home = owner?.home ?? "";
  return {
    uid: inRange(uid),
    gid: inRange(gid),
    additionalGids: [...new Set([gid, ...further, ...added.map((one) => one.gid())])].map(inRange),
    home: home === "" ? "/" : home,
  };
}

async function findUser(
  file: LineFile | undefined,
  test: (user: PasswdEntry) => boolean,
): Promise<PasswdEntry | undefined> {
  let found: PasswdEntry | undefined;
  await file?.lines((line) => {
    const user = parsePasswdLine(line);
    if (user === undefined || !test(user)) return false;
    found = user;
    return true;
  });
  return found;
}

/** A group that the user named, by name or number. */
class WantedGroup {
  readonly #text: string;
  readonly #given: number | undefined;
  #found: GroupEntry | undefined;

  constructor(text: string, given: number | undefined) {
    this.#text = text;
    this.#given = given;
  }

  /** The first matching one counts. */
  see(group: GroupEntry): void {
    if (
      this.#found === undefined &&
      (this.#given === undefined ? group.name === this.#text : group.gid === this.#given)
    )
      this.#found = group;
  }

  get isFound(): boolean {
    return this.#found !== undefined;
  }

  gid(): number {
    const gid = this.#found?.gid ?? this.#given;
    if (gid === undefined) throw notFound("group", this.#text, "no matching entries in group file");
    return gid;
  }
}

/** Finds the wanted groups, and returns the groups that have `member`. Without a member, reading stops when all are found. */
async function visitGroups(
  file: LineFile | undefined,
  wanted: readonly WantedGroup[],
  member: string | undefined,
): Promise<number[]> {
  const further: number[] = [];
  if (member === undefined && wanted.length === 0) return further;
  await file?.lines((line) => {
    const group = parseGroupLine(line);
    if (group === undefined) return false;
    for (const one of wanted) one.see(group);
    if (member === undefined) return wanted.every((one) => one.isFound);
    if (group.members.includes(member)) further.push(group.gid);
    if (further.length > mostGroups)
      throw new EngineError("invalid-argument", `user ${member} is in more than ${mostGroups} groups`);
    return false;
  });
  return further;
}

function notFound(what: string, name: string, why: string): EngineError {
  return new EngineError("invalid-argument", `unable to find ${what} ${name}: ${why}`);
}

/** undefined when `text` is a name. @throws invalid-argument for a number that is no valid id */
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

/** name:password:uid:gid:comment:home:shell. A line without ids is ignored. */
function parsePasswdLine(line: string): PasswdEntry | undefined {
  const [name = "", , uid = "", gid = "", , home = ""] = line.trim().split(":");
  return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? { name, uid: Number(uid), gid: Number(gid), home } : undefined;
}

/** name:password:gid:member,member */
function parseGroupLine(line: string): GroupEntry | undefined {
  const [name = "", , gid = "", members = ""] = line.trim().split(":");
  return /^\d+$/.test(gid) ? { name, gid: Number(gid), members: members.split(",").filter(Boolean) } : undefined;
}
