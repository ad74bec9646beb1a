export { FakeCgroups, type FakeCgroupsOptions } from "./fake-cgroups.ts";
export { FakeLauncher, type FakeFailure, type FakeLauncherOptions } from "./fake-launcher.ts";
export { FakeProcess, FakeStream, type FakeProgram } from "./fake-process.ts";
export { launcherSuite } from "./launcher-suite.ts";
export { suitePrograms, type LauncherUnderTest, type SuitePlan } from "./launcher-under-test.ts";
