/** Signals as kill(1) names them: "SIGTERM", "term", "15", "RTMIN+3". */
import { constants } from "node:os";
import { EngineError } from "@fathom/base";

const [firstRealTime, lastSignal] = [34, 64];

/** @throws invalid-argument */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number <= lastSignal) return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name);
  if (realTime !== null) {
    const number = (realTime[1] === "MIN" ? firstRealTime : lastSignal) + Number(realTime[2] ?? 0);
    if (number >= firstRealTime && number <= lastSignal) return number;
  }
  const found = Object.entries(constants.signals).find(([known]) => known === `SIG${name}`);
  if (found === undefined) throw new EngineError("invalid-argument", `unknown signal "${text}"`);
  return found[1];
}
