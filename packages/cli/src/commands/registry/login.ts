import { messageOf } from "@fathom/base";
import { DaemonError, type Client } from "@fathom/client";
import { credentialsOf, hostOf, hubServer, type AuthConfig } from "../../config/credentials.ts";
import { storeCredentials } from "../../config/credential-store.ts";
import type { CommandContext } from "../../grammar/command.ts";
import type { ParsedFlags } from "../../grammar/flags.ts";
import { ask, askSecret } from "../../output/prompt.ts";
import { connect } from "../../session/session.ts";

interface LoginAnswer {
  readonly Status: string;
  readonly IdentityToken?: string;
}

/** @throws Error in docker's words for flags that contradict each other */
function checkFlags(flags: ParsedFlags): void {
  if (flags.changed("password-stdin")) {
    if (flags.changed("password"))
      throw new Error("conflicting options: cannot specify both --password and --password-stdin");
    if (!flags.changed("username")) throw new Error("the --password-stdin option requires --username to be set");
  }
  for (const name of ["username", "password"])
    if (flags.changed(name) && flags.string(name) === "") throw new Error(`${name} is empty`);
}

async function passwordOf({ flags, stderr }: CommandContext): Promise<string> {
  const given = flags.string("password");
  if (given !== "") {
    stderr.write("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    return given;
  }
  if (!flags.bool("password-stdin")) return "";
  return (await Bun.stdin.text()).replace(/\n$/, "").replace(/\r$/, "");
}

/** Asks the daemon to try the credentials, and keeps them when they are good. Returns the daemon's words. */
async function logIn(client: Client, context: CommandContext, auth: AuthConfig): Promise<string> {
  const answer = await client.json<LoginAnswer>("POST", "/auth", { body: auth });
  const token = answer.IdentityToken ?? "";
  const kept =
    token === "" ? auth : { serveraddress: auth.serveraddress, username: auth.username ?? "", identitytoken: token };
  const plainFile = await storeCredentials(context.global.configDirectory, kept);
  if (plainFile !== undefined)
    context.stderr.write(
      `\nWARNING! Your credentials are stored unencrypted in '${plainFile}'.\n` +
        "Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n",
    );
  return answer.Status;
}

/** With credentials from an earlier login. undefined when the registry refuses them: then the user is asked. */
async function logInAgain(client: Client, context: CommandContext, auth: AuthConfig): Promise<string | undefined> {
  const { stderr } = context;
  stderr.write(
    `Authenticating with existing credentials... [Username: ${auth.username}]\n` +
      "\ni Info → To login with a different account, run 'docker logout' followed by 'docker login'\n\n\n",
  );
  try {
    return await logIn(client, context, auth);
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error;
    stderr.write(
      error.status === 401
        ? "Stored credentials invalid or expired\n"
        : `Login did not succeed, error: Error response from daemon: ${messageOf(error)}\n`,
    );
    return undefined;
  }
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, args, global, stdout } = context;
  checkFlags(flags);
  let username = flags.string("username");
  let password = await passwordOf(context);
  const [server = ""] = args;
  const isHub = server === "" || server === "docker.io" || server === hubServer;
  const serveraddress = isHub ? hubServer : hostOf(server);
  const stored =
    username === "" && password === ""
      ? await credentialsOf(isHub ? "docker.io" : serveraddress, global.configDirectory)
      : undefined;
  const client = await connect(context);
  if ((stored?.username ?? "") !== "" && (stored?.password ?? "") !== "") {
    const status = await logInAgain(client, context, { ...stored!, serveraddress });
    if (status !== undefined) {
      stdout.write(`${status}\n`);
      return 0;
    }
  }
  if ((username === "" || password === "") && process.stdin.isTTY !== true)
    throw new Error("Error: Cannot perform an interactive login from a non TTY device");
  if (username === "") {
    const before = stored?.username ?? "";
    username = (await ask(stdout, before === "" ? "Username: " : `Username (${before}): `)) || before;
    if (username === "") throw new Error("Error: Non-null Username Required");
  }
  if (password === "") {
    password = await askSecret(stdout, "Password: ");
    if (password === "") throw new Error("Error: Password Required");
  }
  stdout.write(`${await logIn(client, context, { username, password, serveraddress })}\n`);
  return 0;
}
