export { FakeMachine, FakeProcess, fakeImage, removeTree, writeLogLine } from "./fake-machine.ts";
