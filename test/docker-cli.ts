/** The docker CLI that the tests find. Tests that compare its words need the words of Docker today; older versions say some things differently. */
const wordsVersion = 28;

function cliVersion(): string {
  if (Bun.which("docker") === null) return "none";
  return Bun.spawnSync(["docker", "--version"], { stderr: "ignore" }).stdout.toString().trim();
}

/** Why a comparison with docker's words is impossible here; undefined when it is possible. */
export function noDockerWords(): string | undefined {
  const version = cliVersion();
  return Number(/\d+/.exec(version)?.[0] ?? 0) >= wordsVersion
    ? undefined
    : `needs a docker CLI from ${wordsVersion} on, here is: ${version}`;
}
