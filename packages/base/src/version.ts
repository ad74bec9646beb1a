/** Version of Fathom; package.json of the tree says the same (a test holds it). */
export const programVersion = "0.1.0";
/** Newest and oldest version of the Engine API that the daemon speaks. */
export const apiVersion = "1.52";
export const minimumApiVersion = "1.40";
