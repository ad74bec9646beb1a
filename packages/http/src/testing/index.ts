export { serverPair, testAuthority } from "./test-certificates.ts";
