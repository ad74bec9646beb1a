import { expect, test } from "bun:test";
import { applyChanges } from "./commit-changes.ts";

test("instructions change the configuration", () => {
  expect(
    applyChanges({ Env: ["A=0", "K=yes"], Labels: { old: "1" } }, [
      'CMD ["cat","/built"]',
      'ENV A=1 B=two C="three words" D=a\\ b',
      "LABEL k=v",
      "WORKDIR /tmp",
      "WORKDIR sub",
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
    WorkingDir: "/tmp/sub",
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
  ["ENV =x", "can't find ="],
])("%s is refused", (change, message) => expect(() => applyChanges({}, [change])).toThrow(message));
