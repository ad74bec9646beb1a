/** Version of this program; the build replaces nothing: package.json of the tree is embedded. */
import manifest from "../../../package.json" with { type: "json" };

export const programVersion: string = manifest.version;
