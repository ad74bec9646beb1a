/** For tests: makes a minimal OCI configuration from Docker's. It does not look at the machine. It knows the user root and users by number. */
import { EngineError } from "@fathom/base";
import type { JoinedNamespaces } from "@fathom/containers";
import type { LinuxNamespace, OciProcess } from "@fathom/spec";
import type { OciTranslation } from "../contract.ts";
import { dockerOf } from "../containers/docker-extension.ts";

export const fakeTranslation: OciTranslation = {
  userInRoot: async () => ({ uid: 0, gid: 0 }),
  defaults: { maskedPaths: [], readonlyPaths: [], privateCgroups: true },
  validate: () => [],
  containerSpec: async ({ record, namespaces }) => ({
    ociVersion: "1.2.0",
    root: { path: "rootfs" },
    process: processOf({
      args: [record.path, ...record.arguments],
      user: dockerOf(record).config.User,
      terminal: record.spec.terminal,
    }),
    linux: { namespaces: namespacesOf(namespaces) },
  }),
  containerUser: async ({ record }) => userOf(dockerOf(record).config.User),
  execProcess: async ({ record, exec }) => ({
    process: processOf({
      args: [...exec.command],
      user: exec.user === "" ? dockerOf(record).config.User : exec.user,
      terminal: exec.terminal,
      environment: exec.environment,
      cwd: exec.workingDirectory,
    }),
    seccomp: undefined,
  }),
  resources: () => ({}),
};

interface Asked {
  readonly args: string[];
  readonly user: string;
  readonly terminal: boolean;
  readonly environment?: readonly string[];
  readonly cwd?: string;
}

function processOf({ args, user, terminal, environment = [], cwd = "" }: Asked): OciProcess {
  return { user: userOf(user), args, env: ["PATH=/bin", ...environment], cwd: cwd === "" ? "/" : cwd, terminal };
}

function userOf(name: string): OciProcess["user"] {
  if (name === "" || name === "root") return { uid: 0, gid: 0 };
  if (!/^\d+$/.test(name))
    throw new EngineError("not-found", `unable to find user ${name}: no matching entries in passwd file`);
  return { uid: Number(name), gid: 0 };
}

function namespacesOf({ network, uts, pid, ipc }: JoinedNamespaces): LinuxNamespace[] {
  const of = (type: LinuxNamespace["type"], path: string | undefined): LinuxNamespace =>
    path === undefined ? { type } : { type, path };
  return [
    { type: "mount" },
    of("pid", pid),
    of("network", network),
    of("ipc", ipc),
    of("uts", uts),
    { type: "cgroup" },
  ];
}
