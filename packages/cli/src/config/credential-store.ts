/** Keeps and forgets the credentials of a registry: in the helper that config.json names, or else in config.json itself. */
import { messageOf } from "@fathom/base";
import { isObject } from "@fathom/spec";
import { changeConfig, configPath, readConfig, type AuthEntry } from "./config-file.ts";
import { helperErase, helperStore, tokenUser } from "./credential-helper.ts";
import { helperOf, type AuthConfig } from "./credentials.ts";

/** Key of `auths` and name for the helper. */
type Server = string;

function changeAuths(directory: string, change: (auths: Record<Server, unknown>) => void): void {
  changeConfig(directory, (document) => {
    const auths = { ...(isObject(document["auths"]) ? document["auths"] : {}) };
    change(auths);
    document["auths"] = auths;
  });
}

/** Where the password now is, when it is there in plain text. @throws Error in docker's words */
export async function storeCredentials(directory: string, auth: AuthConfig): Promise<string | undefined> {
  const server: Server = auth.serveraddress;
  const token = auth.identitytoken ?? "";
  const helper = helperOf(readConfig(directory), server);
  try {
    if (helper !== undefined) {
      const [user, secret] = token === "" ? [auth.username ?? "", auth.password ?? ""] : [tokenUser, token];
      await helperStore(helper, server, user, secret);
      // Docker leaves an empty entry, so that users see for which servers a helper has credentials.
      changeAuths(directory, (auths) => void (auths[server] = {}));
      return undefined;
    }
    const entry: AuthEntry = {
      auth: Buffer.from(`${auth.username ?? ""}:${auth.password ?? ""}`).toString("base64"),
      ...(token === "" ? {} : { identitytoken: token }),
    };
    const before = readConfig(directory).auths?.[server];
    if (before?.auth === entry.auth && (before?.identitytoken ?? "") === token) return undefined;
    changeAuths(directory, (auths) => void (auths[server] = entry));
    return (auth.password ?? "") === "" ? undefined : configPath(directory);
  } catch (error) {
    throw new Error(`error saving credentials: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws Error in docker's words when the helper fails */
export async function eraseCredentials(directory: string, server: Server): Promise<void> {
  const config = readConfig(directory);
  const helper = helperOf(config, server);
  if (helper !== undefined) await helperErase(helper, server);
  if (config.auths?.[server] !== undefined) changeAuths(directory, (auths) => void delete auths[server]);
}
