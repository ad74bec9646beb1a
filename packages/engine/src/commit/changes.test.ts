import { expect, test } from "bun:test";
import { applyChanges } from "./changes.ts";

test("instructions change the configuration", () => {
  expect(
    applyChanges({ Env: ["A=0", "K=yes"], Labels: { old: "1" } }, [
      'CMD ["cat","/built"]',
      'ENV A=1 B=two C="three words" D=a\\ b',
      "LABEL k=v",
      "WORKDIR /tmp",
      "WORKDIR $A/sub",
      "EXPOSE 80 53/udp",
      "USER 1:2",
      "VOLUME /a /b",
      "STOPSIGNAL INT",
      "ONBUILD RUN true",
      "ENTRYPOINT exec top",
      "HEALTHCHECK --interval=1m30s --retries=2 CMD true",
    ]),
  ).toEqual({
    Cmd: ["cat", "/built"],
    Env: ["A=1", "K=yes", "B=two", "C=three words", "D=a b"],
    Labels: { old: "1", k: "v" },
    WorkingDir: "/tmp/1/sub",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    User: "1:2",
    Volumes: { "/a": {}, "/b": {} },
    StopSignal: "INT",
    OnBuild: ["RUN true"],
    Entrypoint: ["/bin/sh", "-c", "exec top"],
    Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 90e9, Retries: 2 },
  });
  expect(applyChanges({}, ["ENV KEY the rest of it"]).Env).toEqual(["KEY=the rest of it"]);
});

test.each([
  ["FROM alpine", "FROM is not a valid change command"],
  ["RUN true", "RUN is not a valid change command"],
  ["EXPOSE nope", "invalid containerPort: nope"],
  ["ENV", "ENV requires at least one argument"],
  ["ENV =x", "ENV names can not be blank"],
  ["ENV A", "ENV must have two arguments"],
  ["ENV A=1 B", "can't find ="],
  ['ENV A="x', 'failed to process "\\"x": unexpected end of statement while looking for matching double-quote'],
  ["ENV A=${", "missing '}'"],
  ["ENV A=${NO:?err}", 'failed to process "${NO:?err}": NO: err'],
  ['SHELL ["x"]', "SHELL is not a valid change command"],
  ["# nothing", "file with no instructions"],
  ["EXPOSE 80/foo", "invalid proto: foo"],
  ["EXPOSE 5-3", "invalid containerPort: 5-3"],
  ["CMD [1]", "arrays must be comprised of strings only"],
  ["STOPSIGNAL NOSUCH", "invalid signal: NOSUCH"],
  ["STOPSIGNAL 99", "the linux daemon does not support signal 99"],
  ["HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK (try CMD)'],
  ["HEALTHCHECK --nosuch=1 CMD x", "unknown flag: --nosuch"],
  ["HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'],
  ["ONBUILD ONBUILD RUN x", "Chaining ONBUILD"],
])("%s is rejected", (change, message) => expect(() => applyChanges({}, [change])).toThrow(message));

test("variables have their values from before the instruction", () => {
  expect(
    applyChanges({ Env: ["A=1", "B=x y"] }, [
      "ENV A=2 C=$A D=${B} E=${NO:-else} F=\\$A G='$A' H=\"$A b\" I=${A:+set}",
      'LABEL k="$A" l=$NO.',
      "USER ${A}b",
    ]),
  ).toEqual({
    Env: ["A=2", "B=x y", "C=1", "D=x y", "E=else", "F=$A", "G=$A", "H=1 b", "I=set"],
    Labels: { k: "2", l: "." },
    User: "2b",
  });
});

test("an entrypoint drops an earlier command, but not a command from the same request", () => {
  const base = { Entrypoint: ["sh"], Cmd: ["-c", "true"] };
  expect(applyChanges(base, ['ENTRYPOINT ["x"]'])).toEqual({ Entrypoint: ["x"] });
  expect(applyChanges(base, ['CMD ["y"]', 'ENTRYPOINT ["x"]'])).toEqual({ Entrypoint: ["x"], Cmd: ["y"] });
  expect(applyChanges(base, ['ENTRYPOINT ["x"]', "CMD y z"]).Cmd).toEqual(["/bin/sh", "-c", "y z"]);
});

test("a backslash joins lines, and comments are ignored", () =>
  expect(applyChanges({}, ["ENV A=1 \\\n# between\n B=2", "\n# end\n"]).Env).toEqual(["A=1", "B=2"]));

test("the cost of many instructions grows only with their length; too many instructions, and ports that do not exist, are rejected", () => {
  const count = 9_000;
  const names = Array.from({ length: count }, (_, index) => `name${index}`);
  const each = (write: (name: string) => string): string[] => names.map(write);
  const env = applyChanges({ Env: ["PATH=/bin", "name7=old"] }, [`ENV ${each((name) => `${name}=1`).join(" ")}`]);
  expect(env.Env?.length).toBe(count + 1);
  expect(env.Env?.slice(0, 3)).toEqual(["PATH=/bin", "name7=1", "name0=1"]);
  const labels = applyChanges(
    {},
    each((name) => `LABEL ${name}=1`),
  );
  expect(Object.keys(labels.Labels ?? {}).length).toBe(count);
  const single = applyChanges(
    { Env: each((name) => `${name}=0`) },
    each((name) => `ENV ${name}=$name0`),
  );
  expect(single.Env?.at(-1)).toBe(`name${count - 1}=0`);
  const volumes = applyChanges(
    {},
    each((name) => `VOLUME /${name}`),
  );
  expect(Object.keys(volumes.Volumes ?? {}).length).toBe(count);
  // One line in several parts.
  const pieces = applyChanges({}, [["LABEL", ...each((name) => `${name}=1`)].join(" \\\n")]);
  expect(pieces.Labels).toEqual(labels.Labels);
  const allPorts = ["tcp", "udp", "sctp"].map((kind) => `1-65535/${kind}`).join(" ");
  expect(Object.keys(applyChanges({}, [`EXPOSE ${allPorts}`]).ExposedPorts ?? {}).length).toBe(3 * 65_535);
  const refused = (changes: string[], words: string): void => expect(() => applyChanges({}, changes)).toThrow(words);
  refused(["EXPOSE 1-65535", `EXPOSE ${allPorts}`], "EXPOSE names more than 196605 ports");
  refused(
    [...each((name) => `LABEL ${name}=1`), ...each((name) => `USER ${name}`)],
    "instructions are more than 10000",
  );
  refused([`ENV ${each((name) => `${name}=1 more${name}=2`).join(" ")}`], "ENV has 18000 words, more than 10000");
});
