export { FakeMachine, fakeImage, removeTree, writeLogLine } from "./fake-machine.ts";
