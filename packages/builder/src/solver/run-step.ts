/** RUN. */
import { StepFailed } from "../contract.ts";
import { wrong } from "../dockerfile/dockerfile-error.ts";
import type { Instruction, RunInstruction } from "../dockerfile/instructions.ts";
import { missing, shortKey, type StageState, type StepResult } from "./stage-state.ts";
import { keyOf } from "./step-cache.ts";

/** @throws StepFailed, EngineError when the command could not be started */
export async function runStep(state: StageState, instruction: RunInstruction & Instruction): Promise<StepResult> {
  const { build, editor } = state;
  if (instruction.mounts.length > 0) throw missing("the --mount option of RUN");
  if (instruction.security === "insecure") throw missing("--security=insecure of RUN");
  const command = wordsOf(state, instruction);
  const visible = state.arguments.visible(editor.environment);
  const environment = [...(editor.config().Env ?? []), ...visible];
  const { network } = instruction;
  const key = keyOf(
    state.key,
    "run",
    command,
    environment,
    editor.user,
    editor.workingDirectory,
    network,
    build.request.settings,
  );
  const told = visible.length > 0 ? `|${visible.length} ${visible.join(" ")} ` : "";
  const createdBy = `RUN ${told}${command.join(" ")}`;
  const known = build.request.noCache ? undefined : build.cache.find(key, build.lease);
  if (known !== undefined) {
    await state.emit({ kind: "cached" });
    return { key, top: known.top, createdAt: known.createdAt, createdBy };
  }
  return build.running.run(build.signal, async () => {
    build.signal.throwIfAborted();
    let container: string | undefined;
    let events = Promise.resolve();
    const ran = await build.parts.steps.run(
      {
        parent: state.top,
        config: editor.config(),
        command,
        environment: [...environment, ...state.arguments.proxies(editor.environment)],
        network,
        settings: build.request.settings,
        image: shortKey(state.key),
        output: (stream, bytes) => state.emit({ kind: "output", stream, bytes }),
        started: (containerId) => {
          container = containerId;
          events = state.emit({ kind: "running", containerId });
          // Awaited when the command has ended; until then a failure is nobody's.
          events.catch(() => undefined);
        },
      },
      build.signal,
    );
    let step: StepResult;
    {
      await using _ = ran;
      await events;
      if (ran.exitCode !== 0) throw new StepFailed(command, ran.exitCode, instruction.source.place.line);
      const layer = await ran.commit(build.lease);
      const { createdAt } = build.cache.put(key, layer.chainId, createdBy, layer.size);
      step = { key, top: layer.chainId, createdAt, createdBy };
    }
    if (container !== undefined) await state.emit({ kind: "removed", containerId: container });
    return step;
  });
}

function wordsOf({ editor }: StageState, { command }: RunInstruction): readonly string[] {
  if (command.form === "exec") {
    if (command.words.length === 0) throw wrong("RUN requires at least one argument");
    return command.words;
  }
  const [first] = command.heredocs;
  if (first === undefined) return [...editor.shell, command.line];
  // The heredoc alone is the script. With a command before it, the shell reads the heredoc itself.
  if (command.heredocs.length === 1 && /^<<-?\S+$/.test(command.line)) {
    if (first.content.startsWith("#!")) throw missing("a RUN heredoc that names its interpreter (#!)");
    return [...editor.shell, first.content];
  }
  return [
    ...editor.shell,
    `${command.line}\n${command.heredocs.map(({ name, content }) => `${content}${name}\n`).join("")}`,
  ];
}
