/** Container names: their rules, and generated names of the form adjective_noun. */
import { EngineError } from "@fathom/base";

const shape = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * The name without its leading slash.
 * @throws invalid-argument in Docker's words, with the name as the user typed it
 */
export function checkName(name: string): string {
  if (!shape.test(name))
    throw new EngineError(
      "invalid-argument",
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  return name.replace(/^\//, "");
}

const adjectives = (
  "able agile amber ample azure bold brave breezy bright brisk calm candid careful cheerful clear clever cosy crisp curious " +
  "daring deft eager early easy elegant even fair fast fine firm fluent fond fresh gentle glad golden grand green happy hardy " +
  "honest humble jolly keen kind lively loyal lucid lucky mellow merry mild modest neat nimble noble open patient placid plucky " +
  "polite proud quick quiet rapid ready robust sage serene sharp silent silver simple sincere sleek smart smooth snug sober solid " +
  "sound spry steady stout sunny sure swift tender tidy true trusty upbeat valiant vivid warm wise witty zesty"
).split(" ");

const nouns = (
  "anchor atoll basin bay beacon boat brook buoy canal cape channel coast compass coral cove creek current delta depth dock " +
  "dolphin drift eel ferry fjord foam galley geyser glacier gull gulf harbor heron hull inlet island jetty keel kelp krill lagoon " +
  "lake lantern limpet marina marlin mast mist mooring mussel narwhal oar ocean orca otter oyster pearl pelican petrel pier pilot " +
  "plankton plume pond pontoon porpoise puffin quay raft ray reef ridge rill river rudder sail salmon sandbar sardine schooner " +
  "seal shoal shore sloop sonar sounding spray squid stern strait stream surf swell tern tide trench tuna urchin vessel walrus " +
  "wave wharf whale"
).split(" ");

/** A name that `taken` does not have. Digits are added when a few tries fail. */
export function makeName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const pick = (list: readonly string[]): string => list[Math.floor(Math.random() * list.length)]!;
    const name = `${pick(adjectives)}_${pick(nouns)}${attempt < 6 ? "" : Math.floor(Math.random() * 10 ** Math.min(attempt - 5, 9))}`;
    if (!taken(name)) return name;
  }
}
