/** How many arguments a command takes, and the second names of commands. */
export const many = { min: 1 } as const;
export const one = { min: 1, max: 1 } as const;
export const none = { min: 0, max: 0 } as const;

/** `run` is another name of `container run`. */
export const inContainer = (name: string): readonly (readonly string[])[] => [["container", name]];
