/** What a registry refused, in the sentences that dockerd makes of it and that clients match on. */
import { EngineError } from "@fathom/base";
import { RegistryError } from "@fathom/distribution";
import { familiarName, familiarString, type Reference } from "@fathom/spec";

export function pullError(error: unknown, reference: Reference): unknown {
  if (!(error instanceof RegistryError)) return error;
  const sentence = (text: string): EngineError => new EngineError("not-found", text, { cause: error });
  switch (error.reason) {
    case "manifest-unknown":
      return sentence(`manifest for ${familiarString(reference)} not found: ${error.message}`);
    case "name-unknown":
      return sentence(`repository ${familiarName(reference)} not found: ${error.message}`);
    case "denied":
      return sentence(
        `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ${error.message}`,
      );
    case "no-credentials":
      // No 401: the docker CLI answers that by asking for a password, and waits for ever where nobody types.
      return new EngineError("internal", error.message, { cause: error });
    default:
      return error;
  }
}
