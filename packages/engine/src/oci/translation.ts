/** `OciTranslation` for containers: it reads the user files and the machine's facts, and calls pure functions for the rest. */
import { dockerOf } from "../containers/docker-extension.ts";
import { readFileSync } from "node:fs";
import { tmpfsMounts } from "../containers/create/mounts/tmpfs.ts";
import { EngineError, messageOf } from "@fathom/base";
import { capabilitiesOf, compileSeccomp, type CgroupSupport } from "@fathom/runtime";
import type { Sys } from "@fathom/sys";
import type { EngineConfig, OciTranslation } from "../contract.ts";
import { checkConfig } from "./check-config.ts";
import { capabilitySets, containerSpec, rlimits, seccompOf, type DaemonSettings } from "./container-spec.ts";
import { effectiveCapabilities } from "./security/capabilities.ts";
import { environmentOf } from "../networks/link-environment.ts";
import { containerEnvironment } from "./environment.ts";
import { requestedDevices } from "./devices.ts";
import { readHostFacts, type HostFacts } from "./host-facts.ts";
import { maskedPaths, readonlyPaths } from "./paths.ts";
import { ociResources } from "./resources.ts";
import { defaultSeccomp } from "./security/seccomp-profile.ts";
import { parseSecurityOptions } from "./security/security-options.ts";
import { UserLookup, type UserLookupFiles } from "./user/user-files.ts";

export interface TranslationOptions {
  readonly files: UserLookupFiles;
  readonly sys: Sys;
  readonly config: Pick<EngineConfig, "defaultUlimits" | "noNewPrivileges" | "seccompProfile">;
  readonly cgroups: { readonly version: HostFacts["cgroupVersion"]; readonly support: CgroupSupport };
  /** Read from the machine when absent. */
  readonly host?: HostFacts;
}

/** Called when the daemon has begun to answer, before anybody starts a container. */
const warmUpDelayMs = 100;

/** @throws invalid-argument when the daemon's own seccomp profile cannot be read */
export function createOciTranslation(options: TranslationOptions): OciTranslation {
  const users = new UserLookup(options.sys, options.files);
  const host = options.host ?? readHostFacts(options.cgroups);
  const daemon: DaemonSettings = {
    defaultUlimits: options.config.defaultUlimits,
    noNewPrivileges: options.config.noNewPrivileges,
    seccompProfile: readDaemonProfile(options.config.seccompProfile),
  };
  // The first filter of an ordinary container takes some milliseconds; it is compiled in advance.
  if (host.seccomp && daemon.seccompProfile === "") {
    setTimeout(() => {
      const { architecture, kernelRelease } = host;
      const granted = { add: null, drop: null, privileged: false };
      const capabilities = effectiveCapabilities(granted, host.capabilities);
      compileSeccomp(defaultSeccomp({ architecture, kernelRelease, capabilities }), architecture);
    }, warmUpDelayMs).unref();
  }
  return {
    defaults: {
      maskedPaths: maskedPaths(host),
      readonlyPaths,
      privateCgroups: host.cgroupVersion === "v2" && host.cgroupNamespaces,
    },
    validate: (config, hostConfig, request) => checkConfig(config, hostConfig, request, host),

    containerSpec: async ({ record, rootFd, links = [], ...input }) => {
      const { config, hostConfig } = dockerOf(record);
      const user = await users.inRoot(rootFd, config.User, hostConfig.GroupAdd ?? []);
      const devices = await requestedDevices(hostConfig);
      const command = [record.path, ...record.arguments];
      const { id, cgroupPath } = record;
      const mounts = [...record.mounts, ...tmpfsMounts(hostConfig)];
      return containerSpec(
        {
          ...input,
          linkEnvironment: environmentOf(record, links),
          id,
          config,
          hostConfig,
          command,
          mounts,
          cgroupPath,
          user,
          devices,
        },
        daemon,
        host,
      );
    },

    containerUser: async ({ record, root }) => {
      const { config } = dockerOf(record);
      return "pid" in root ? users.ofProcess(root.pid, config.User, []) : users.inRoot(root.rootFd, config.User, []);
    },

    userInRoot: (spec, rootFd) => users.inRoot(rootFd, spec, []),

    execProcess: async ({ record, exec, pid, links = [] }) => {
      const { config, hostConfig } = dockerOf(record);
      const name = exec.user === "" ? config.User : exec.user;
      const user = await users.ofProcess(pid, name, hostConfig.GroupAdd ?? []);
      const security = parseSecurityOptions(hostConfig.SecurityOpt ?? [], daemon.noNewPrivileges);
      const asked = { add: hostConfig.CapAdd, drop: hostConfig.CapDrop, privileged: hostConfig.Privileged };
      const own = capabilitySets(effectiveCapabilities(asked, host.capabilities));
      const all = capabilitySets(capabilitiesOf(host.capabilities));
      const process = {
        terminal: exec.terminal,
        args: [...exec.command],
        env: containerEnvironment({
          hostname: config.Hostname,
          terminal: exec.terminal,
          links: environmentOf(record, links),
          env: config.Env ?? [],
          more: exec.environment,
          home: user.home,
        }),
        cwd: exec.workingDirectory || config.WorkingDir || "/",
        // As in Docker, an exec has no umask: files that it makes have the mode that the program asks for.
        user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids], umask: 0 },
        capabilities: exec.privileged ? all : own,
        rlimits: rlimits(hostConfig.Ulimits ?? [], daemon.defaultUlimits),
        oomScoreAdj: hostConfig.OomScoreAdj,
        noNewPrivileges: security.noNewPrivileges,
      };
      // The filter is the container's filter, whatever rights the exec has: it was made for the rights of the container.
      const seccomp = seccompOf(hostConfig, security, { ...process, capabilities: own }, daemon, host);
      return { process, seccomp };
    },

    resources: (hostConfig) => ociResources(hostConfig, host.limits),
  };
}

/** A path, "unconfined", "builtin" or "". */
function readDaemonProfile(setting: string): string {
  if (setting === "" || setting === "unconfined" || setting === "builtin") return setting === "builtin" ? "" : setting;
  try {
    return readFileSync(setting, "utf8");
  } catch (error) {
    throw new EngineError("invalid-argument", `opening seccomp profile (${setting}) failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
