/** The docker CLI that the tests find. What they compare with its words needs those that Docker has today: older ones say some things differently. */
const wordsVersion = 28;

function cliVersion(): string {
  if (Bun.which("docker") === null) return "none";
  return Bun.spawnSync(["docker", "--version"], { stderr: "ignore" }).stdout.toString().trim();
}

/** Why a comparison with docker's words cannot be made here; undefined where it can. */
export function noDockerWords(): string | undefined {
  const version = cliVersion();
  return Number(/\d+/.exec(version)?.[0] ?? 0) >= wordsVersion
    ? undefined
    : `needs a docker CLI from ${wordsVersion} on, here is: ${version}`;
}
