/** `--restart NAME[:COUNT]`. @throws Error in docker's words */
export function restartPolicyOf(text: string): { Name: string; MaximumRetryCount: number } {
  const [name, count, ...more] = text.split(":");
  if (more.length > 0) throw new Error("invalid restart policy format: maximum retry count must be an integer");
  if (count !== undefined && name === "")
    throw new Error("invalid restart policy format: no policy provided before colon");
  if (count !== undefined && !/^-?\d+$/.test(count))
    throw new Error("invalid restart policy format: maximum retry count must be an integer");
  return { Name: name ?? "", MaximumRetryCount: count === undefined ? 0 : Number(count) };
}
