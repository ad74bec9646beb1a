/**
 * A name that no other run of the tests on this machine has: cgroups and network namespaces of a test carry it. By it the leak check tells what the
 * run made from what others made. The runner gives it; a file that is run by hand takes its own pid.
 */
export const runName = process.env["FATHOM_TEST_RUN"] ?? String(process.pid);
