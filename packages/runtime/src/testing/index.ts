export { FakeCgroups, noStats, type FakeCgroupsOptions } from "./fake-cgroups.ts";
export { FakeLauncher, type FakeFailure, type FakeLauncherOptions } from "./fake-launcher.ts";
export { FakeProcess, FakeStream, type FakeProgram } from "./fake-process.ts";
export { launcherSuite } from "./launcher-suite.ts";
export { suitePrograms, type LauncherUnderTest, type SuitePlan } from "./launcher-under-test.ts";
// Internal parts, for tests that read the binary form or use a kernel of their own.
export { createCgroups } from "../cgroups/cgroups.ts";
export { hostFileSystem } from "../cgroups/filesystem.ts";
export { findHierarchies } from "../cgroups/hierarchies.ts";
export { encodePlan } from "../plan/plan-encoding.ts";
export { WireReader, WireWriter } from "../plan/wire.ts";
export { launchFailure } from "../supervisor/launch-failure.ts";
export { frame, MessageParser, messageTypes, SupervisorFailure, type Message } from "../connection/protocol.ts";
