export { FakeMachine, fakeImage, removeTree, writeLogLine } from "./fake-machine.ts";
export { translationSuite, type TranslationUnderTest } from "./translation-suite.ts";
