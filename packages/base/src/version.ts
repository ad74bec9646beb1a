/** Version of Fathom. The package.json at the root has the same version (a test compares them). */
export const programVersion = "0.1.0";
/** Newest and oldest version of the Engine API that the daemon supports. */
export const apiVersion = "1.52";
export const minimumApiVersion = "1.40";
