/** Users and bcrypt hashes in a file of `htpasswd -B`. */
import { EngineError, Semaphore } from "@fathom/base";
import { createHmac, randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";

/** How long a password that was right is not hashed again. A change of the file counts from the next hash on. */
const rememberedMs = 60_000;
const rememberedLogins = 1024;
const maxFileBytes = 16 * 1024 * 1024;
/** bcrypt takes the processor for long: strangers cannot take all of it. */
const hashesAtOnce = 2;

export class Htpasswd {
  readonly #path: string;
  readonly #key = randomBytes(32);
  readonly #remembered = new Map<string, number>();
  readonly #turns = new Semaphore(hashesAtOnce);
  #users = new Map<string, string>();
  #version = "";
  /** A hash as slow as the others, of a password that nobody knows. */
  #unknownUser = "";

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws invalid-argument for a file that has other hashes than bcrypt's, or that cannot be read */
  static async open(path: string): Promise<Htpasswd> {
    const opened = new Htpasswd(path);
    await opened.#read();
    return opened;
  }

  async #read(): Promise<void> {
    let text: string;
    let version: string;
    try {
      const { mtimeMs, size, ino } = await stat(this.#path);
      version = `${ino} ${size} ${mtimeMs}`;
      if (version === this.#version) return;
      if (size > maxFileBytes) throw new EngineError("invalid-argument", "it is larger than 16 MiB");
      text = await readFile(this.#path, "utf8");
    } catch (cause) {
      throw new EngineError("invalid-argument", `cannot read the password file ${this.#path}`, { cause });
    }
    const users = new Map<string, string>();
    for (const [index, line] of text.split("\n").entries()) {
      if (line.trim() === "" || line.startsWith("#")) continue;
      const match = /^([^:]+):(\$2[aby]\$\d\d\$[./A-Za-z0-9]{53})\s*$/.exec(line);
      if (match === null)
        throw new EngineError(
          "invalid-argument",
          `${this.#path}:${index + 1}: expected NAME:HASH with a hash of bcrypt, as "htpasswd -B" writes it`,
        );
      users.set(match[1]!, match[2]!);
    }
    const cost = Number([...users.values()][0]?.slice(4, 6) ?? 10);
    this.#unknownUser = await Bun.password.hash(randomBytes(16).toString("hex"), { algorithm: "bcrypt", cost });
    // Only now: a file that cannot be used stays an error for every login.
    this.#version = version;
    this.#users = users;
    this.#remembered.clear();
  }

  async verify(user: string, password: string, signal: AbortSignal): Promise<boolean> {
    const login = createHmac("sha256", this.#key).update(`${user}\0${password}`).digest("base64");
    if ((this.#remembered.get(login) ?? 0) > performance.now()) return true;
    await this.#read();
    const hash = this.#users.get(user);
    // An unknown user takes as long as a wrong password.
    const right = await this.#turns.run(signal, () => Bun.password.verify(password, hash ?? this.#unknownUser));
    if (hash === undefined || !right) return false;
    this.#remembered.set(login, performance.now() + rememberedMs);
    if (this.#remembered.size > rememberedLogins) this.#remembered.delete(this.#remembered.keys().next().value!);
    return true;
  }
}
