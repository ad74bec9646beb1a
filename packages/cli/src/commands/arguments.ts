/** How many arguments commands take, and their second names. */
export const many = { min: 1 } as const;
export const one = { min: 1, max: 1 } as const;
export const none = { min: 0, max: 0 } as const;

/** `run` is `container run` too. */
export const inContainer = (name: string): readonly (readonly string[])[] => [["container", name]];
