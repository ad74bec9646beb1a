import { expect, test } from "bun:test";
import { DockerfileError } from "./dockerfile-error.ts";
import type { InstructionBody } from "./instructions.ts";
import { parseDockerfile } from "./parse.ts";

/** The instructions of one stage, without their places. */
function bodies(...lines: readonly string[]): InstructionBody[] {
  const [stage] = parseDockerfile(["FROM x", ...lines].join("\n")).stages;
  return stage!.instructions.map(({ source: _place, ...body }) => body as InstructionBody);
}

function problem(text: string): DockerfileError {
  try {
    parseDockerfile(text);
  } catch (error) {
    if (error instanceof DockerfileError) return error;
    throw error;
  }
  throw new Error("it was read");
}

test("directives, comments, stages and global arguments", () => {
  const file = parseDockerfile(
    [
      "\uFEFF# syntax = docker/dockerfile:1",
      "# escape=`",
      "#check=skip=all",
      "# a comment",
      "ARG tag=1 other",
      "from --platform=$BUILDPLATFORM base:${tag} As Build",
      "  # indented",
      "RUN one `",
      "# between",
      "",
      "  two",
      "FROM build",
      "LABEL a=b",
    ].join("\r\n"),
  );
  expect(file.directives).toEqual({ syntax: "docker/dockerfile:1", escape: "`", check: "skip=all" });
  expect(file.globalArguments[0]?.arguments).toEqual([
    { name: "tag", value: "1" },
    { name: "other", value: undefined },
  ]);
  expect(file.stages.map(({ from }) => [from.image, from.name, from.platform])).toEqual([
    ["base:${tag}", "build", "$BUILDPLATFORM"],
    ["build", undefined, undefined],
  ]);
  const [run] = file.stages[0]!.instructions;
  expect(run).toMatchObject({
    kind: "run",
    command: { form: "shell", line: "one   two" },
    source: { place: { line: 8, column: 1 }, endLine: 11, original: "RUN one   two" },
  });
});

test("a directive after a comment is a comment", () => {
  expect(parseDockerfile("# hello\n# escape=`\nFROM x").directives.escape).toBe("\\");
  expect(parseDockerfile("# unknown=1\n# escape=`\nFROM x").directives.escape).toBe("\\");
});

test("forms of commands", () => {
  expect(
    bodies('RUN ["a", "b c"]', "RUN [ -f x ] && y", 'CMD ["x"', "ENTRYPOINT", 'SHELL ["/bin/sh", "-c"]'),
  ).toMatchObject([
    { command: { form: "exec", words: ["a", "b c"] } },
    { command: { form: "shell", line: "[ -f x ] && y" } },
    { command: { form: "shell", line: '["x"' } },
    { kind: "entrypoint", command: undefined },
    { kind: "shell", words: ["/bin/sh", "-c"] },
  ]);
});

test("heredocs: of RUN, files of COPY, tabs, quotes, and several at once", () => {
  const [run, copy, both] = bodies(
    "RUN <<EOF cat > /x",
    "a $b",
    "# no comment",
    "EOF",
    'COPY <<-"ONE" file <<TWO /to/',
    "\tone $x",
    "\tONE",
    "two",
    "TWO",
    "ONBUILD RUN <<E",
    "later",
    "E",
  );
  expect(run).toMatchObject({
    command: { line: "<<EOF cat > /x", heredocs: [{ name: "EOF", expand: true, content: "a $b\n# no comment\n" }] },
  });
  expect(copy).toMatchObject({
    sources: ["file"],
    destination: "/to/",
    inline: [
      { name: "ONE", expand: false, chomp: true, content: "one $x\n" },
      { name: "TWO", expand: true, content: "two\n" },
    ],
  });
  expect(both).toEqual({ kind: "onbuild", trigger: "RUN <<E\nlater\nE" });
});

test("all flags of COPY, ADD and RUN", () => {
  expect(
    bodies(
      "COPY --from=b --chown=1:2 --chmod=640 --link --parents --exclude=*.o --exclude=t a b/ /c/",
      "ADD --checksum=sha256:12 --keep-git-dir=true --unpack=false --chown=$U https://x/y /z",
      "RUN --mount=type=cache,target=/c,id=x,sharing=locked,mode=0700,uid=1 --mount=type=secret,id=s,env=S,required --mount=type=bind,from=b,src=/a,dst=/b,rw --network=none true",
      "RUN --mount=type=tmpfs,target=/t,size=5m --mount=type=ssh --security=insecure x",
    ),
  ).toMatchObject([
    {
      from: "b",
      owner: "1:2",
      mode: "640",
      link: true,
      parents: true,
      excludes: ["*.o", "t"],
      sources: ["a", "b/"],
      destination: "/c/",
    },
    { checksum: "sha256:12", keepGitDirectory: true, unpack: false, owner: "$U", sources: ["https://x/y"] },
    {
      network: "none",
      mounts: [
        { type: "cache", target: "/c", id: "x", sharing: "locked", mode: "0700", uid: "1", readOnly: false },
        { type: "secret", id: "s", environment: "S", required: true, target: undefined },
        { type: "bind", from: "b", source: "/a", target: "/b", readOnly: false },
      ],
    },
    { security: "insecure", mounts: [{ type: "tmpfs", size: "5m" }, { type: "ssh" }] },
  ]);
});

test.each([
  ["", "file with no instructions"],
  ["# only", "file with no instructions"],
  ["FROM", "FROM requires either one or three arguments"],
  ["FROM a b c", "FROM requires either one or three arguments"],
  ["FROM a AS 1b", "invalid name for build stage"],
  ["RUN x", "no build stage in current context"],
  ["ARG a", "no build stage in current context"],
  ["FROM x\nNOSUCH y", "unknown instruction: NOSUCH"],
  ["FROM x\nCOPPY a b", "unknown instruction: COPPY (did you mean COPY?)"],
  ["FROM x\nCOPY --fro=b a b", "unknown flag: --fro (did you mean --from?)"],
  ["FROM x\nCOPY --nosuch=1 a b", "unknown flag: --nosuch"],
  ["FROM x\nCOPY --from a b", "missing a value on flag: --from"],
  ["FROM x\nCOPY --link=maybe a b", "expecting boolean value for flag link, not: maybe"],
  ["FROM x\nCOPY --from=a --from=b a b", "duplicate flag specified: --from"],
  ["FROM x\nCOPY x", "COPY requires at least two arguments, but only one was provided"],
  ["FROM x\nADD", "ADD requires at least one argument"],
  ["FROM x\nWORKDIR", "WORKDIR requires exactly one argument"],
  ["FROM x\nSHELL sh -c", "SHELL requires the arguments to be in JSON form"],
  ["FROM x\nVOLUME []", "VOLUME requires at least one argument"],
  ['FROM x\nVOLUME [""]', "VOLUME specified can not be an empty string"],
  ["FROM x\nRUN <<EOF\na", "unterminated heredoc"],
  ["FROM x\nRUN --mount=type=cache x", "target is required for mount type 'cache'"],
  ["FROM x\nRUN --mount=type=cach,target=/x x", 'unsupported mount type "cach" (did you mean cache?)'],
  ["FROM x\nRUN --mount=type=tmpfs,target=/x,src=/y x", "unexpected key 'source' for mount type 'tmpfs'"],
  ["FROM x\nRUN --network=bridge x", 'invalid network mode: "bridge"'],
  ["FROM x\nUSER --x=1 y", "unknown flag: --x"],
  ["FROM x\nONBUILD FROM y", "FROM isn't allowed as an ONBUILD trigger"],
  ["FROM x\nARG =1", "ARG names can not be blank"],
  ["# escape=x\nFROM x", "invalid ESCAPE 'x'. Must be ` or \\"],
  ["# escape=`\n# escape=`\nFROM x", "only one escape parser directive can be used"],
])("%j is rejected", (text, reason) => expect(problem(text).reason).toStartWith(reason));

test("an error has line, column and the line itself with a mark", () => {
  const { place, message } = problem("FROM x\n\n  coppy a b");
  expect(place).toEqual({ line: 3, column: 3, source: "  coppy a b", length: 5 });
  expect(message).toBe(
    [
      "dockerfile parse error on line 3: unknown instruction: coppy (did you mean COPY?)",
      "  3 |   coppy a b",
      "    |   ^^^^^",
    ].join("\n"),
  );
});
