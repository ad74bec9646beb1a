/**
 * A name that no other run of the tests on this machine has. It is part of the names of a test's cgroups and network namespaces, so the leak
 * check can distinguish them from those of others. The runner sets it; a file that is run by hand uses its own pid.
 */
export const runName = process.env["FATHOM_TEST_RUN"] ?? String(process.pid);
